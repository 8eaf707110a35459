// The page's part of lib.labeller: shows the row that the kernel names, and sends what a person answers about it.
// Texts are put in as text, never as HTML.

const FEW = 9; // classes that are seen at a glance; more can be searched
const PATIENCE = 3000; // milliseconds until a person is told that the kernel does not answer
const OFTEN = 500; // milliseconds between two questions how far the model is
const DOUBLE = 600; // milliseconds after "-" in which a digit is the rest of a negative number that somebody types
const SILENT = "Waiting for the kernel, which may be running other cells. If it was restarted, run all cells.";

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

  const { keys, commands } = model.get("shown"); // which no class and command share; "" for none
  const buttons = element("div", "labeller-buttons", root);
  const classes = model.get("shown").labels.map((label, number) => {
    const button = element("button", "labeller-class", buttons);
    show(keys[number], button);
    element("span", "labeller-name", button, label);
    button.name = label;
    button.count = element("span", "labeller-count", button);
    button.onclick = () => answer({ label });
    return button;
  });
  const find = element("input", "labeller-find", root);
  find.placeholder = `${commands.find} find a class`.trim();
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
  const skip = command("skip", () => answer({ skip: true }));
  const undo = command("undo", () => send({ undo: true }));
  const doubt = command("ambiguous", () => {
    mark(doubt.ariaPressed !== "true");
    (note.hidden ? root : note).focus();
  });
  const back = command("back", () => send({ correct: null }));
  const acts = { [commands.skip]: skip, [commands.undo]: undo, [commands.ambiguous]: doubt, [commands.back]: back };
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

  function show(key, button) {
    if (!key) return;
    element("kbd", "", button, key);
    button.setAttribute("aria-keyshortcuts", key);
  }
  function command(name, act) {
    const button = element("button", "labeller-command", others);
    show(commands[name], button);
    element("span", "", button, name);
    button.onclick = act;
    return button;
  }

  let waiting = 0; // for the kernel, which answers each message with a new state
  function send(content) {
    if (waiting) return;
    waiting = setTimeout(() => {
      message.textContent = SILENT;
    }, PATIENCE);
    model.send(content);
    root.focus();
  }
  function answer(content) {
    const { row } = model.get("shown");
    const noted = doubt.ariaPressed === "true" ? { ambiguous: note.value.trim() } : {};
    if (row !== null) send({ row, ...content, ...noted });
  }

  let minus = -DOUBLE; // when "-" was pressed
  root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target === earlier || event.target === find || event.target === note) return; // their own keys choose
    const key = event.key.toLowerCase(); // with Caps Lock, too
    if (key === commands.find && !find.hidden) {
      event.preventDefault();
      find.focus();
      return;
    }
    const act = classes[keys.indexOf(key)] ?? acts[key];
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    if (/\d/.test(key) && event.timeStamp - minus < DOUBLE) return;
    minus = key === "-" ? event.timeStamp : -DOUBLE;
    if (!event.repeat && !act.disabled) act.click(); // a key held down answers once
  });

  let heard = 0; // when the kernel last said how far the model is
  const asking = setInterval(() => {
    if (!model.get("shown").working) return;
    if (Date.now() - heard > OFTEN + PATIENCE) message.textContent = SILENT;
    try {
      model.send({ progress: true });
    } catch {
      message.textContent = SILENT; // the kernel is gone
    }
  }, OFTEN);
  function progressed() {
    heard = Date.now();
    if (model.get("shown").working) message.textContent = model.get("progress").said;
  }

  let before = {}; // what was shown: what stays the same is left alone, with what a person has typed or opened there
  const other = (name) => JSON.stringify(before[name]) !== JSON.stringify(model.get("shown")[name]);
  function update() {
    clearTimeout(waiting);
    waiting = 0;
    heard = Date.now();
    const shown = model.get("shown");
    if (other("row") || other("correcting") || other("ambiguous")) mark(shown.ambiguous !== null, shown.ambiguous ?? "");
    place.textContent = shown.place;
    total.textContent = shown.total;
    bar.value = shown.done;
    if (other("row") || other("texts")) {
      texts.replaceChildren();
      shown.texts.forEach((text, number) => {
        if (shown.texts.length > 1) element("div", "labeller-column", texts, shown.columns[number]);
        element("div", "labeller-text", texts, text).dir = "auto";
      });
    }
    classes.forEach((button, number) => {
      button.count.textContent = shown.counts[number];
      button.disabled = shown.row === null;
    });
    skip.disabled = shown.row === null;
    doubt.disabled = skip.disabled;
    undo.disabled = !shown.last;
    back.hidden = !shown.correcting;
    if (other("earlier") || shown.correcting) list(shown.earlier);
    last.textContent = shown.last && `last: ${shown.last}`;
    message.textContent = shown.working || (shown.row === null && !shown.error ? "All rows have an answer." : "");
    message.classList.toggle("labeller-busy", Boolean(shown.working));
    error.textContent = shown.error;
    agreement.textContent = shown.agreement;
    advice.textContent = shown.advice;
    before = shown;
  }
  function list(answers) {
    earlier.replaceChildren(new Option("correct an earlier answer …", ""));
    let group = null;
    answers.forEach(({ row, batch, said }) => {
      const name = batch ? `batch ${batch}` : "before";
      if (group?.label !== name) {
        group = document.createElement("optgroup");
        group.label = name;
        earlier.append(group);
      }
      group.append(new Option(said, row));
    });
    earlier.hidden = !answers.length;
  }
  model.on("change:shown", update);
  model.on("change:progress", progressed);
  update();
  return () => {
    clearInterval(asking);
    model.off("change:shown", update);
    model.off("change:progress", progressed);
  };
}

export default { render };
