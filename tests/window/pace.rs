//! The window is drawn seldom enough: at most 30 times a second while text streams, not at all when idle.

use super::bench::{Bench, Setting};
use crate::support::scripted::Script;
use std::time::Duration;

/// A little less than a thirtieth of a second: timers are rounded to whole milliseconds.
const SHORTEST: Duration = Duration::from_millis(33);

#[test]
fn nothing_is_drawn_while_the_window_is_idle() {
    let mut bench = Bench::open(Setting::default());
    for view in ["Parallel", "Single"] {
        bench.click(view);
        // Settings are written half a second after they changed.
        let written = std::time::Instant::now();
        while written.elapsed() < Duration::from_millis(1200) {
            bench.step();
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(bench.pause() > Duration::from_secs(3600), "{view}: another frame in {:?}", bench.pause());
    }
    bench.run_to_end();
    std::thread::sleep(Duration::from_millis(600));
    (0..30).for_each(|_| bench.step());
    std::thread::sleep(Duration::from_millis(600));
    (0..30).for_each(|_| bench.step());
    assert!(bench.pause() > Duration::from_secs(3600), "after a run: another frame in {:?}", bench.pause());
}

#[test]
fn streaming_text_asks_for_at_most_thirty_frames_a_second() {
    let script = Script { step: Duration::from_millis(1), ..Script::default() };
    let mut bench = Bench::open(Setting::script(script));
    bench.set_max_tokens(5000);
    bench.set("Sessions", 8.0);
    // Once the settings are written a frame comes that has nothing to do with the stream.
    bench.wait_until("rest", |bench| {
        std::thread::sleep(Duration::from_millis(20));
        bench.is_idle()
    });
    bench.click("Run Parallel Demo");
    bench.wait("text", |state| state.run.as_ref().is_some_and(|run| run.totals().tokens > 50));
    // A button may still move after the click.
    (0..30).for_each(|_| bench.step());
    // From a few words to more than the panels can show at once.
    while bench.state().run.as_ref().is_some_and(|run| run.totals().tokens < 4000) {
        bench.step();
        let causes = bench.harness().ctx.repaint_causes();
        assert!(bench.pause() >= SHORTEST, "another frame in {:?} for {causes:?}", bench.pause());
        std::thread::sleep(Duration::from_millis(2));
    }
    bench.click("Stop All");
    bench.wait("the end", |state| !state.run_is_active());
}
