// Where the network looked: a token that is pointed at, or reached with the arrow keys, lights up the image.
"use strict";

const LONGEST_LOADING_MS = 360000; // of a model, and of reading with it

document.querySelectorAll("form.looked").forEach((asked) => {
  const said = asked.querySelector("[role=status]");
  const group = asked.querySelector("[role=group]");
  const glow = document.querySelector("img.glow");

  const show = (token) => {
    glow.parentElement.classList.toggle("is-looking", Boolean(token));
    glow.hidden = !token;
    if (token) glow.src = token.dataset.glow;
  };

  const focusOn = (token) => {
    if (!token) return;
    for (const one of group.children) one.tabIndex = one === token ? 0 : -1;
    token.focus();
  };

  const asButton = ({ text, glow }) => {
    const token = document.createElement("button");
    token.type = "button";
    token.className = "token";
    token.textContent = text;
    token.dataset.glow = glow;
    token.addEventListener("pointerenter", () => show(token));
    token.addEventListener("focus", () => show(token));
    return token;
  };

  group.addEventListener("pointerleave", () => show(group.contains(document.activeElement) ? document.activeElement : null));
  group.addEventListener("focusout", () => show(null));
  group.addEventListener("keydown", (event) => {
    if (event.key === "ArrowRight") focusOn(event.target.nextElementSibling);
    else if (event.key === "ArrowLeft") focusOn(event.target.previousElementSibling);
    else if (event.key === "Escape") event.target.blur();
    else return;
    event.preventDefault();
  });

  asked.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (group.children.length) return focusOn(group.firstElementChild);
    const button = asked.querySelector("button");
    button.disabled = true;
    say(said, "the image is read again; the model may have to be loaded first");
    const fields = new FormData(asked);
    if (!fields.has("image_id")) fields.set("image", glow.parentElement.querySelector("img").src); // which is not stored
    const ended = AbortSignal.timeout(LONGEST_LOADING_MS);
    const answer = await post(asked.getAttribute("action"), fields, ended).catch((error) => ({
      detail: error.name === "TimeoutError" ? "the model is still being loaded: press again in a minute" : "the server cannot be reached",
    }));
    button.disabled = false;
    if (!answer.isOk) return say(said, answer.detail);
    const isSame = answer.caption === asked.dataset.caption;
    say(said, isSame ? "point at a token, or use the arrow keys" : `read once, it is another caption: ${answer.caption}`);
    group.replaceChildren(...answer.tokens.map(asButton));
    group.hidden = false;
    focusOn(group.firstElementChild);
  });
});
