// A correction drawn in Ketcher. Its build is a component of Streamlit: it says that it is ready, is sent what it shows,
// and sends what is drawn when its button Apply is pressed. The frame has an origin of its own, so messages are all it gets.
"use strict";

const drawing = document.getElementById("drawing");
if (drawing) {
  const drawn = document.getElementById("drawn");
  const draw = document.getElementById("draw");
  const BUTTONS_PX = 92; // height of Ketcher's own row of buttons, and of a scroll bar
  const MIN_PX = 420; // below which Ketcher's sheet covers its buttons
  const THEME = { base: "light", primaryColor: "#1d4ed8", backgroundColor: "#ffffff", secondaryBackgroundColor: "#f6f8fb", textColor: "#0f172a", font: "sans-serif" };
  let frame = null;
  let molfile = "";

  const close = () => {
    drawing.close();
    frame.remove();
    frame = null;
  };

  const take = async (smiles) => {
    if (!smiles) return say(drawn, "nothing is drawn");
    const fields = { token: form.elements.token.value, corrected_caption: smiles };
    const answer = await post(corrected.dataset.check, fields).catch(() => ({ detail: "the server cannot be reached: press Apply again" }));
    if (!frame) return;
    if (!answer.isOk) return say(drawn, answer.detail);
    close();
    corrected.value = answer.caption;
    corrected.dispatchEvent(new Event("input"));
    corrected.focus();
  };

  draw.addEventListener("click", async () => {
    draw.disabled = true;
    const query = new URLSearchParams({ caption: corrected.value });
    const answer = await fetch(`${draw.dataset.structure}?${query}`, { headers: { Accept: "application/json" } }).catch(() => null);
    molfile = answer && answer.ok ? await answer.text() : "";
    draw.disabled = false;
    say(drawn, molfile ? "" : "the caption cannot be drawn: the sheet is empty");
    frame = document.createElement("iframe");
    frame.title = "Ketcher, an editor of structures";
    frame.setAttribute("sandbox", "allow-scripts");
    frame.src = draw.dataset.editor;
    drawing.querySelector(".sheets").append(frame);
    drawing.showModal();
    frame.focus();
  });

  window.addEventListener("message", (event) => {
    if (!frame || event.source !== frame.contentWindow || !event.data.isStreamlitMessage) return;
    if (event.data.type === "streamlit:componentReady") {
      const args = { molecule: molfile, height: Math.max(frame.clientHeight - BUTTONS_PX, MIN_PX), molecule_format: "SMILES" };
      frame.contentWindow.postMessage({ type: "streamlit:render", args, theme: THEME, disabled: false, dfs: [] }, "*");
    } else if (event.data.type === "streamlit:setComponentValue") take(event.data.value);
  });

  drawing.querySelector("button").addEventListener("click", close);
  drawing.addEventListener("cancel", (event) => {
    event.preventDefault();
    close();
  });
}
