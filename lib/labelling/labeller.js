// The page's part of lib.labeller: shows the row that the kernel names, and sends what a person answers about it.
// Texts are put in as text, never as HTML.

const KEYS = "1234567890acdefghijklmnopqrtvwxyz"; // letters beyond ten classes; s, u and b are commands
const FEW = 9; // classes that are seen at a glance; more can be searched
const PATIENCE = 3000; // milliseconds until a person is told that the kernel does not answer

function element(kind, className, parent, text = "") {
  const made = document.createElement(kind);
  made.className = className;
  made.textContent = text;
  parent.append(made);
  return made;
}

function render({ model, el }) {
  const root = element("div", "labeller", el);
  root.tabIndex = 0;
  root.setAttribute("role", "group");
  root.setAttribute("aria-label", "Label rows");
  root.dataset.lmSuppressShortcuts = "true"; // JupyterLab has its own use for number keys

  const head = element("div", "labeller-head", root);
  const place = element("span", "labeller-place", head);
  const total = element("span", "labeller-total", head);
  const bar = element("progress", "labeller-bar", root);
  bar.setAttribute("aria-label", "Answered rows of this batch");
  const texts = element("div", "labeller-texts", root);
  texts.setAttribute("aria-live", "polite");

  const buttons = element("div", "labeller-buttons", root);
  const classes = model.get("shown").labels.map((label, number) => {
    const button = element("button", "labeller-class", buttons);
    if (number < KEYS.length) {
      element("kbd", "", button, KEYS[number]);
      button.setAttribute("aria-keyshortcuts", KEYS[number]);
    }
    element("span", "labeller-name", button, label);
    button.name = label;
    button.count = element("span", "labeller-count", button);
    button.onclick = () => answer({ label });
    return button;
  });
  const find = element("input", "labeller-find", root);
  find.placeholder = "/ find a class";
  find.setAttribute("aria-label", "Find a class by a part of its name; Enter takes the only one");
  find.hidden = classes.length <= FEW;
  find.oninput = () => {
    const wanted = find.value.trim().toLowerCase();
    classes.forEach((button) => {
      button.hidden = !button.name.toLowerCase().includes(wanted);
    });
  };
  find.onkeydown = (event) => {
    const found = classes.filter((button) => !button.hidden);
    if (event.key === "Enter" && found.length === 1 && !found[0].disabled) found[0].click();
    if (event.key === "Enter" || event.key === "Escape") clear();
  };
  function clear() {
    find.value = "";
    find.oninput();
    root.focus();
  }

  const others = element("div", "labeller-others", root);
  const skip = command("s", "skip", () => answer({ skip: true }));
  const undo = command("u", "undo", () => send({ undo: true }));
  const doubt = command("?", "ambiguous", () => {
    mark(doubt.ariaPressed !== "true");
    (note.hidden ? root : note).focus();
  });
  const back = command("b", "back", () => send({ correct: null }));
  const last = element("span", "labeller-last", others);
  const note = element("input", "labeller-doubt", root);
  note.placeholder = "why it is ambiguous, if you like; then the class or skip";
  note.setAttribute("aria-label", "Why this row is ambiguous");
  note.onkeydown = (event) => {
    if (event.key === "Enter" || event.key === "Escape") root.focus();
  };
  function mark(ambiguous, why = "") {
    doubt.ariaPressed = `${ambiguous}`;
    note.hidden = !ambiguous;
    note.value = why;
  }
  const earlier = element("select", "labeller-earlier", root);
  earlier.setAttribute("aria-label", "Correct an earlier answer");
  earlier.onchange = () => {
    if (earlier.value) send({ correct: Number(earlier.value) });
  };
  const message = element("div", "labeller-message", root);
  message.setAttribute("role", "status");
  const error = element("div", "labeller-error", root);
  error.setAttribute("role", "alert");
  const agreement = element("p", "labeller-note", root);
  const advice = element("p", "labeller-note", root);

  function command(key, name, act) {
    const button = element("button", "labeller-command", others);
    element("kbd", "", button, key);
    element("span", "", button, name);
    button.setAttribute("aria-keyshortcuts", key);
    button.onclick = act;
    return button;
  }

  let waiting = 0; // for the kernel, which answers each message with a new state
  function send(content) {
    if (waiting || model.get("shown").busy) return;
    waiting = setTimeout(() => {
      message.textContent = "Waiting for the kernel. If it was restarted, run all cells.";
    }, PATIENCE);
    model.send(content);
    root.focus();
  }
  function answer(content) {
    const { row } = model.get("shown");
    const noted = doubt.ariaPressed === "true" ? { ambiguous: note.value.trim() } : {};
    if (row !== null) send({ row, ...content, ...noted });
  }

  root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target === earlier || event.target === find || event.target === note) return; // their own keys choose
    if (event.key === "/" && !find.hidden) {
      event.preventDefault();
      find.focus();
      return;
    }
    const act = KEYS.includes(event.key) ? classes[KEYS.indexOf(event.key)] : { s: skip, u: undo, b: back, "?": doubt }[event.key.toLowerCase()];
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    if (!event.repeat && !act.disabled) act.click(); // a key held down answers once
  });

  let about = null; // the row that is shown: a mark is for it alone
  function update() {
    clearTimeout(waiting);
    waiting = 0;
    const shown = model.get("shown");
    const idle = !shown.busy;
    if (shown.row !== about || shown.correcting) mark(shown.ambiguous !== null, shown.ambiguous ?? "");
    about = shown.row;
    place.textContent = shown.place;
    total.textContent = shown.total;
    bar.value = shown.done;
    texts.replaceChildren();
    shown.texts.forEach((text, number) => {
      if (shown.texts.length > 1) element("div", "labeller-column", texts, shown.columns[number]);
      element("div", "labeller-text", texts, text).dir = "auto";
    });
    classes.forEach((button, number) => {
      button.count.textContent = shown.counts[number];
      button.disabled = !idle || shown.row === null;
    });
    skip.disabled = !idle || shown.row === null;
    doubt.disabled = skip.disabled;
    undo.disabled = !idle || !shown.last;
    back.disabled = !idle;
    back.hidden = !shown.correcting;
    earlier.replaceChildren(new Option("correct an earlier answer …", ""));
    earlier.append(...shown.earlier.map(({ row, said }) => new Option(said, row)));
    earlier.disabled = !idle;
    earlier.hidden = !shown.earlier.length;
    last.textContent = shown.last && `last: ${shown.last}`;
    message.textContent = shown.busy || (shown.row === null && !shown.error ? "All rows have an answer." : "");
    message.classList.toggle("labeller-busy", !idle);
    error.textContent = shown.error;
    agreement.textContent = shown.agreement;
    advice.textContent = shown.advice;
  }
  model.on("change:shown", update);
  update();
  return () => model.off("change:shown", update);
}

export default { render };
