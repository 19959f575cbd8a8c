"use strict";

const DELAY_MS = 500; // from the key to the pair, in a timed trial
const GAP_MS = 200; // grey between two pairs, so that a change is seen as one
const PROMPT = "Left or right?";
const SCREENS = ["start", "between", "trial", "end"];

const at = (id) => document.getElementById(id);
const study = JSON.parse(at("study").textContent);
const pictures = JSON.parse(at("pictures").textContent);
const [height, width] = study.size;
const named = ([trial, left, right, asked_ms]) => ({ trial, left, right, asked_ms });
const practice = study.practice.map(named), trials = study.trials.map(named);
const STORE = `scenequilt-study-${study.study}`;
const pair = document.querySelector(".pair");
const frames = { left: at("left"), right: at("right") };

let session = null;
let current = null; // the trial on the screen
let phase = "start"; // start, between, loading, hidden, waiting, exposing, choosing, paused, end
let turn = 0; // counts what is put on the screen; whatever waits for an earlier one gives up
let clock = null; // of the answer
let seen = null; // of the time that an untimed pair is visible
let resume = null; // what ends a pause
let mouse = null; // where the pointer was last, on the screen

// ---- what outlives a reload

function stored() {
  try {
    const found = JSON.parse(localStorage.getItem(STORE));
    return found?.plan_sha256 === study.plan_sha256 ? found : null;
  } catch {
    return null; // storage is not allowed, or holds something else
  }
}

function keep() {
  try {
    localStorage.setItem(STORE, JSON.stringify(session));
    return true;
  } catch {
    return false;
  }
}

function canKeep() {
  try {
    localStorage.setItem(`${STORE}-probe`, "1");
    localStorage.removeItem(`${STORE}-probe`);
    return true;
  } catch {
    return false;
  }
}

function randomCode() {
  const letters = "abcdefghjkmnpqrstuvwxyz23456789";
  return Array.from(crypto.getRandomValues(new Uint8Array(6)), (value) => letters[value % letters.length]).join("");
}

function personCode(typed) {
  return typed.trim().replace(/[^A-Za-z0-9._-]+/g, "-").slice(0, 32) || randomCode();
}

function startSession(typed) {
  session = {
    plan_sha256: study.plan_sha256, person: personCode(typed), started: new Date().toISOString(), finished: null,
    practised: 0, introduced: false, answers: [], exposures: {}, undone: {}, saved: false,
  };
  keep();
}

// ---- clocks

// Milliseconds that run while they are asked to.
function stopwatch() {
  let spent = 0, since = performance.now();
  return {
    pause() { if (since !== null) spent += performance.now() - since; since = null; },
    go() { since ??= performance.now(); },
    read: () => spent + (since === null ? 0 : performance.now() - since),
  };
}

const delay = (ms) => new Promise((done) => setTimeout(done, ms));
const frame = () => new Promise((done) => requestAnimationFrame(() => done(performance.now())));

// ---- screens

function turnTo(name) {
  for (const other of SCREENS) at(other).hidden = other !== name;
  document.body.dataset.screen = name;
}

function say(text) {
  at("status").textContent = text;
}

function enter(next) {
  phase = next;
  const choosing = phase === "choosing";
  frames.left.disabled = frames.right.disabled = !choosing;
  at("show").hidden = phase !== "hidden" && phase !== "paused";
  at("show").firstChild.data = phase === "paused" ? "Go on " : "Show the pair ";
  at("undo").disabled = !canUndo();
}

function canUndo() {
  return session.introduced && session.answers.length > 0 && ["loading", "hidden", "choosing", "end"].includes(phase);
}

function cover(what) {
  pair.dataset.cover = what;
}

const inPractice = () => session.practised < practice.length;

function head() {
  const done = inPractice() ? session.practised : session.answers.length;
  const all = inPractice() ? practice.length : trials.length;
  at("progress").max = all;
  at("progress").value = done;
  at("count").textContent = `${inPractice() ? "practice " : ""}${done + 1} of ${all}`;
}

// ---- pictures, decoded before anybody sees them

const prepared = new Map();

function prepare(trial) {
  if (!prepared.has(trial.trial)) {
    const made = ["left", "right"].map((side) => {
      const image = new Image();
      // Painted in the same frame as everything else, not when the decoder gets to it.
      image.decoding = "sync";
      image.alt = `${side === "left" ? "Left" : "Right"} picture`;
      image.draggable = false;
      image.src = `data:image/jpeg;base64,${pictures[trial[side]]}`;
      return image;
    });
    prepared.set(trial.trial, Promise.all(made.map((image) => image.decode())).then(() => made));
  }
  return prepared.get(trial.trial);
}

// ---- one trial

function next() {
  const tail = [...practice.slice(session.practised), ...trials.slice(session.answers.length)];
  if (!inPractice() && !session.introduced) {
    turn += 1;
    turnTo("between");
    enter("between");
    at("go").focus();
  } else if (tail.length) {
    begin(tail[0], tail[1]);
  } else {
    finish();
  }
}

async function begin(trial, following) {
  const mine = ++turn;
  current = trial;
  seen = null;
  delete pair.dataset.moved;
  cover("blank");
  turnTo("trial");
  head();
  say("");
  enter("loading");
  // Away from a button that was clicked, or Space would press it again.
  at("trial").focus({ preventScroll: true });
  const [[left, right]] = await Promise.all([prepare(trial), delay(GAP_MS)]);
  if (mine !== turn) return;
  frames.left.querySelector(".shown").replaceChildren(left);
  frames.right.querySelector(".shown").replaceChildren(right);
  for (const name of prepared.keys()) if (name !== trial.trial) prepared.delete(name);
  if (following) prepare(following);
  offer();
  if (document.hidden) pause();
}

// What a trial begins with, and goes on with after a pause.
function offer() {
  const exposure = session.exposures[current.trial];
  if (current.asked_ms === null) {
    noteShow();
    cover("none");
    seen = stopwatch();
    ask();
  } else if (exposure?.shown_ms != null) {
    cover("mask");
    ask();
  } else {
    cover("blank");
    enter("hidden");
    say("Look at the middle, then show the pair.");
  }
}

function noteShow() {
  const earlier = session.exposures[current.trial];
  session.exposures[current.trial] = { shows: (earlier?.shows ?? 0) + 1, pauses: earlier?.pauses ?? 0, shown_ms: null };
  keep();
}

async function expose() {
  const mine = ++turn;
  cover("blank");
  enter("waiting");
  // Before the pair is seen, so that nothing beside the pictures changes when they come.
  say("Choose when the pictures are covered.");
  const begun = performance.now();
  const steps = [];
  let last = await frame();
  for (let now = last; now - begun < DELAY_MS; last = now) {
    now = await frame();
    steps.push(now - last);
  }
  if (mine !== turn) return;
  const step = steps.sort((one, other) => one - other)[steps.length >> 1] ?? 1000 / 60;
  noteShow();
  enter("exposing");
  const from = await frame();
  if (mine !== turn) return;
  cover("none");
  // Covered in the frame that is nearest to the time asked for.
  let now = from;
  while (now - from < current.asked_ms - step / 2) {
    now = await frame();
    if (mine !== turn) return;
  }
  cover("mask");
  session.exposures[current.trial].shown_ms = now - from;
  keep();
  ask();
}

function ask() {
  clock = stopwatch();
  enter("choosing");
  say(PROMPT);
}

function choose(side) {
  if (phase !== "choosing") return;
  const exposure = session.exposures[current.trial];
  const rounded = (ms) => Math.round(10 * ms) / 10;
  const box = frames.left.querySelector(".frame").getBoundingClientRect();
  const answer = {
    trial: current.trial, left: current.left, right: current.right, choice: side, response_ms: rounded(clock.read()),
    shown_ms: rounded(current.asked_ms === null ? seen.read() : exposure.shown_ms), asked_ms: current.asked_ms,
    shows: exposure.shows, pauses: exposure.pauses, undone: session.undone[current.trial] ?? 0, at: new Date().toISOString(),
    window_px: [innerWidth, innerHeight], picture_px: [rounded(box.width), rounded(box.height)], pixel_ratio: devicePixelRatio,
  };
  if (inPractice()) {
    session.practised += 1;
  } else {
    session.answers.push(answer);
    session.saved = false;
  }
  keep();
  next();
}

function undo() {
  if (!canUndo()) return;
  const { trial } = session.answers.pop();
  session.undone[trial] = (session.undone[trial] ?? 0) + 1;
  session.finished = null;
  session.saved = false;
  keep();
  next();
  say("The last choice is undone.");
}

// ---- pauses: a hidden window

function pause() {
  if (!["waiting", "exposing", "choosing"].includes(phase)) return;
  const { shows = 0, pauses = 0, shown_ms = null } = session.exposures[current.trial] ?? {};
  session.exposures[current.trial] = { shows, pauses: pauses + 1, shown_ms };
  keep();
  if (phase === "choosing") {
    const covered = pair.dataset.cover;
    clock.pause();
    seen?.pause();
    resume = () => {
      cover(covered);
      clock.go();
      seen?.go();
      enter("choosing");
      say(PROMPT);
    };
    say("Paused while this window was hidden.");
  } else {
    turn += 1;
    resume = offer;
    say(phase === "exposing" ? "The pair was cut short. It will be shown again." : "Paused while this window was hidden.");
  }
  cover("blank");
  enter("paused");
}

// ---- the end

function finish() {
  turn += 1;
  session.finished ??= new Date().toISOString();
  keep();
  turnTo("end");
  enter("end");
  at("undo-end").hidden = session.answers.length === 0;
  if (!session.saved) save();
  at("file").textContent = fileName();
  at("save").focus();
}

const fileName = () => `answers-${study.study}-${session.person}.json`;

function save() {
  const { person, started, finished, answers } = session;
  const text = JSON.stringify({
    format: "scenequilt answers", version: 1, study: study.study, plan_sha256: study.plan_sha256, person, started, finished,
    user_agent: navigator.userAgent, screen_px: [screen.width, screen.height], answers,
  }, null, 1);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  link.download = fileName();
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  session.saved = true;
  keep();
}

// ---- keys, buttons, windows

function goOn() {
  if (phase === "hidden") expose();
  else if (phase === "paused") resume();
}

function leavePractice() {
  session.introduced = true;
  keep();
  next();
}

const KEYS = { ArrowLeft: "left", 1: "left", ArrowRight: "right", 2: "right" };
document.addEventListener("keydown", (event) => {
  const { key, target } = event;
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || target.matches("input")) return;
  if (KEYS[key] && phase === "choosing") {
    event.preventDefault();
    choose(KEYS[key]);
  } else if (key.toLowerCase() === "u" && session) {
    undo();
  } else if (key === " " && !target.matches("button")) {
    event.preventDefault();
    if (phase === "start") (at("earlier").hidden ? at("begin") : at("continue")).click();
    else if (phase === "between") leavePractice();
    else goOn();
  }
});
for (const side of ["left", "right"]) frames[side].addEventListener("click", () => choose(side));
at("show").addEventListener("click", goOn);
at("go").addEventListener("click", leavePractice);
at("undo").addEventListener("click", undo);
at("undo-end").addEventListener("click", undo);
at("save").addEventListener("click", save);
at("person-form").addEventListener("submit", (event) => {
  event.preventDefault();
  startSession(at("person").value);
  next();
});
at("continue").addEventListener("click", () => {
  session = stored();
  next();
});
at("save-earlier").addEventListener("click", () => {
  session = stored();
  save();
});
at("restart").addEventListener("click", () => {
  const { saved, answers, person } = stored();
  if (answers.length && !saved && !confirm(`The answers of ${person} have not been saved to a file. Throw them away?`)) return;
  localStorage.removeItem(STORE);
  welcome();
});
document.addEventListener("visibilitychange", () => { if (document.hidden) pause(); });
// Browsers report moves of a mouse that rests, too, where what lies under it has changed.
for (const kind of ["pointermove", "pointerdown"]) document.addEventListener(kind, ({ screenX, screenY }) => {
  const moved = mouse && (mouse.x !== screenX || mouse.y !== screenY);
  mouse = { x: screenX, y: screenY };
  if (moved && phase === "choosing") pair.dataset.moved = "";
});
document.addEventListener("contextmenu", (event) => { if (pair.contains(event.target)) event.preventDefault(); });
addEventListener("beforeunload", (event) => { if (session?.answers.length && !session.saved && !canKeep()) event.preventDefault(); });
addEventListener("resize", measureWindow);

function measureWindow() {
  at("small").hidden = innerWidth >= 2 * width + 48;
}

function welcome() {
  const earlier = stored();
  at("earlier").hidden = !earlier;
  at("save-earlier").hidden = !earlier?.answers.length;
  at("person-form").hidden = Boolean(earlier);
  at("forgetful").hidden = canKeep();
  if (earlier) at("earlier-text").textContent = `${earlier.person} has answered ${earlier.answers.length} of ${trials.length} pairs in this browser.`;
  const spent_ms = trials.reduce((sum, trial) => sum + (trial.asked_ms === null ? 5000 : trial.asked_ms + DELAY_MS + 3000), 0);
  const minutes = Math.max(1, Math.round(spent_ms / 60000));
  at("effort").textContent = `There are ${trials.length} pairs after ${practice.length} for practice; that takes about ${minutes === 1 ? "a minute" : `${minutes} minutes`}. You may stop and go on later in the same browser.`;
  measureWindow();
}

if (study.timed) document.body.dataset.timed = "";
for (const mask of document.querySelectorAll(".mask")) {
  mask.decoding = "sync";
  mask.src = `data:image/jpeg;base64,${pictures.mask}`;
  mask.decode();
}
welcome();
