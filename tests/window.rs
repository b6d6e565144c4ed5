//! The window, driven by accessible label over the scripted engine.

/// What was pasted, dropped, typed or stored wrong is said in place, and nothing is lost.
mod bad_input;
/// What the window's tests drive: the real window over a scripted engine.
mod bench;
/// Everything works without a mouse.
mod keyboard;
/// Whole windows look as they did when someone last looked at them.
mod looks;
/// Models load at launch, fail with a reason, and are chosen by hub id, folder, file and drop.
mod models;
/// Files given at launch, and other starts of the program, reach the one window.
mod opening;
/// The window is drawn seldom enough.
mod pace;
/// The parallel run: controls, panels, figures, table, exports.
mod parallel;
/// Settings and runs outlive the window.
mod persistence;
/// A race: the same sessions serialized and batched, each under a clock.
mod race;
/// The sweep over numbers of sessions: its charts, its table, its exports.
mod scaling;
/// The single prompt, as LLMEval has it.
mod single;
/// The stall budget on its way from the slider to the engine.
mod stall;
/// A finished run's sessions are replayed alone, and what differs is marked.
mod verify;
