// The review page's script: keys, corrections checked as they are typed, reviews sent again until they arrive.
"use strict";

document.documentElement.classList.add("has-script"); // what needs it is shown now
const form = document.getElementById("review");
const corrected = document.getElementById("corrected");
const overlay = document.getElementById("overlay");
const PAUSES_MS = [0, 500, 1500, 4000]; // before each try of a review whose connection was lost
const LONGEST_ANSWER_MS = 20000; // of a try, after which it is a lost connection
const TYPING_PAUSE_MS = 300;

function say(element, sentence) {
  element.hidden = !sentence;
  element.textContent = sentence && sentence[0].toUpperCase() + sentence.slice(1) + ".";
}

const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

// What the server answers to a form: {next} or {detail}. The id in the form makes a second sending harmless.
async function post(address, fields, signal) {
  const headers = { Accept: "application/json", "Content-Type": "application/x-www-form-urlencoded" };
  const ended = signal ?? AbortSignal.timeout(LONGEST_ANSWER_MS);
  const answer = await fetch(address, { method: "POST", headers, body: new URLSearchParams(fields), signal: ended });
  return { isOk: answer.ok, isRepeated: answer.status >= 502, ...(await answer.json().catch(() => ({ detail: "the server failed" }))) };
}

// What was typed of an image stays until it is stored, in this tab: keys lead to other images.
const draftName = () => `draft of ${form.elements.model_version.value} ${form.elements.image_id.value}`;

async function send(sent, submitter) {
  const fields = new FormData(sent, submitter);
  const message = document.getElementById("sent");
  const buttons = document.querySelectorAll("form[action='/review'] button, form[action='/undo'] button");
  buttons.forEach((button) => (button.disabled = true));
  let answer = null;
  for (const pause of PAUSES_MS) {
    await wait(pause);
    answer = await post(sent.getAttribute("action"), fields).catch(() => null);
    if (answer && !answer.isRepeated) break;
    say(message, "the server cannot be reached: trying again");
  }
  if (answer && answer.isOk) {
    if (submitter?.value === "correct") sessionStorage.removeItem(draftName()); // else undo brings it back
    location.assign(answer.next);
    return;
  }
  buttons.forEach((button) => (button.disabled = false));
  say(message, answer ? answer.detail : "the server cannot be reached: nothing is lost, press the same button again");
  message.scrollIntoView({ block: "nearest" });
}

document.querySelectorAll("form[action='/review'], form[action='/undo']").forEach((sent) =>
  sent.addEventListener("submit", (event) => {
    event.preventDefault();
    send(sent, event.submitter);
  })
);

// A page that the browser shows again from memory would have its buttons disabled and an id that was used.
window.addEventListener("pageshow", (event) => event.persisted && location.reload());

if (corrected) {
  const checked = document.getElementById("checked");
  const asked = checked.textContent;
  const predicted = form.elements.seen.value;
  let typing = 0;
  let asking = new AbortController();

  const draw = (caption) => {
    if (!overlay) return;
    const query = new URLSearchParams({ image_id: form.elements.image_id.value, caption });
    overlay.src = `${corrected.dataset.overlay}?${query}`;
  };

  const check = async () => {
    asking.abort();
    asking = new AbortController();
    const fields = { token: form.elements.token.value, corrected_caption: corrected.value };
    const answer = await post(corrected.dataset.check, fields, asking.signal).catch((error) => (error.name === "AbortError" ? null : { detail: "the server cannot be reached" }));
    if (!answer) return;
    checked.className = answer.isOk ? "is-well" : "is-malformed";
    say(checked, answer.isOk ? (answer.caption === corrected.value.trim() ? "well formed" : `well formed; stored as ${answer.caption}`) : answer.detail);
    if (answer.isOk) draw(answer.caption);
    else if (overlay) overlay.hidden = true; // it shows what stood there before
  };

  const changed = () => {
    clearTimeout(typing);
    if (corrected.value === predicted) sessionStorage.removeItem(draftName());
    else sessionStorage.setItem(draftName(), JSON.stringify({ predicted, typed: corrected.value }));
    if (corrected.value === predicted) {
      asking.abort();
      checked.className = "soft";
      checked.textContent = asked;
      if (predicted) draw(predicted);
    } else typing = setTimeout(check, TYPING_PAUSE_MS);
  };
  const draft = JSON.parse(sessionStorage.getItem(draftName()));
  if (draft && draft.predicted === predicted && corrected.value === predicted) {
    corrected.value = draft.typed;
    changed();
  }
  corrected.addEventListener("input", changed);
  corrected.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.isComposing) {
      event.preventDefault();
      form.requestSubmit(form.querySelector("button.main"));
    } else if (event.key === "Escape") corrected.blur();
  });
  document.querySelectorAll("button[data-caption]").forEach((button) =>
    button.addEventListener("click", () => {
      corrected.value = button.dataset.caption;
      changed();
      corrected.focus();
    })
  );
}

// A rating that is pressed again is taken back.
const ratings = [...document.querySelectorAll("[name=rating]")];
let rated = null;
ratings.forEach((rating) =>
  rating.addEventListener("click", () => {
    rating.checked = rated !== rating;
    rated = rating.checked ? rating : null;
  })
);

if (overlay) {
  const said = document.getElementById("overlay-said");
  const opacity = document.getElementById("opacity");
  opacity.addEventListener("input", () => (overlay.style.opacity = opacity.value / 100));
  overlay.addEventListener("load", () => {
    said.textContent = "";
    overlay.hidden = false;
  });
  const failed = () => {
    said.textContent = "This caption cannot be drawn.";
    overlay.hidden = true;
  };
  overlay.addEventListener("error", failed);
  if (!overlay.getAttribute("src") || (overlay.complete && !overlay.naturalWidth)) failed();
}

// Both images are enlarged and scrolled together.
const stages = [...document.querySelectorAll(".stage")];
let zoom = 1;
document.querySelectorAll("[data-zoom]").forEach((button) =>
  button.addEventListener("click", () => {
    zoom = Math.min(8, Math.max(1, Number(button.dataset.zoom) ? zoom * Number(button.dataset.zoom) : 1));
    document.querySelectorAll(".layers").forEach((layers) => {
      layers.style.width = layers.style.height = `${100 * zoom}%`;
    });
  })
);
stages.forEach((stage) =>
  stage.addEventListener("scroll", () => {
    for (const other of stages.filter((one) => one !== stage)) {
      other.scrollLeft = stage.scrollLeft;
      other.scrollTop = stage.scrollTop;
    }
  })
);

document.querySelectorAll("link[rel=next-image]").forEach((link) => (new Image().src = link.href));

// Single letters may be pressed by accident, or by software that types what is said.
const keys = document.getElementById("keys");
const areKeysOn = () => localStorage.getItem("keys") !== "off";
if (keys) {
  keys.checked = areKeysOn();
  keys.addEventListener("change", () => localStorage.setItem("keys", keys.checked ? "on" : "off"));
}

document.addEventListener("keydown", (event) => {
  const target = event.target;
  if (document.querySelector("dialog[open]")) return;
  const isTyping = target.matches("textarea, select, input:not([type=radio]):not([type=range]):not([type=checkbox])");
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key; // Caps Lock may be on
  if (key.length === 1 && !areKeysOn()) return;
  if (key === "c" && corrected) {
    event.preventDefault();
    corrected.focus();
    corrected.setSelectionRange(corrected.value.length, corrected.value.length);
    return;
  }
  if (key === "Enter" && target.matches("[name=rating]")) {
    event.preventDefault(); // else a form's first button would be pressed, which accepts
    form.requestSubmit(form.querySelector("button.main"));
    return;
  }
  if (key === "Enter" && target !== document.body && target.id !== "main") return; // of the focused button or link
  const found = [...document.querySelectorAll("[data-key]")].find((one) => one.dataset.key === key);
  if (found && !found.disabled) {
    event.preventDefault();
    found.click();
  }
});

// Dropping an image on the page is choosing it in the form.
const drop = document.getElementById("drop");
if (drop) {
  const file = drop.querySelector("input[type=file]");
  const mark = (isOver) => drop.classList.toggle("over-it", isOver);
  for (const kind of ["dragover", "dragleave", "drop"]) {
    drop.addEventListener(kind, (event) => {
      event.preventDefault();
      mark(kind === "dragover");
      if (kind === "drop" && event.dataTransfer.files.length) {
        file.files = event.dataTransfer.files;
        drop.requestSubmit();
      }
    });
  }
  file.addEventListener("change", () => file.files.length && drop.requestSubmit());
}
