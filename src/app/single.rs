//! The single prompt on its way: one exchange of a conversation, with the window's tools where they are wanted.

use super::feature::Feature;
use super::shell::Shell;
use super::tools::WindowTools;
use crate::protocol::{Execution, Sampling, SessionId, SessionUpdate};
use crate::session::{Conversation, ConversationSettings, Exchange, LoadedModel, Wake};
use crate::state::{SingleSettings, SingleState, Tone};
use crate::text::{Chat, Message, Role};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;

/// Updates that can wait for the window.
const WAITING_UPDATES: usize = 1024;

/// An answer that is on. Dropping it ends it.
pub struct LiveSingle {
    begin: Instant,
    exchange: Exchange,
    updates: mpsc::Receiver<SessionUpdate>,
}

impl LiveSingle {
    /// Asks the model; must be called within a tokio runtime.
    pub fn start(model: &LoadedModel, settings: &SingleSettings, wake: Wake) -> Result<Self, String> {
        let sampling = Sampling::new(settings.temperature, 1.0, 0, 0.0, 1.0, seed_of_now());
        let system = Some(settings.system.as_str()).filter(|system| !system.trim().is_empty());
        let chat = Chat {
            messages: system.into_iter().map(|system| Message::new(Role::System, system)).collect(),
            thinking: Some(settings.thinking),
            ..Chat::default()
        };
        let mut conversation = Conversation::new(
            model,
            chat,
            ConversationSettings {
                id: SessionId(0),
                sampling: sampling.map_err(|invalid| invalid.to_string())?,
                max_tokens: settings.max_tokens(),
                stop: Vec::new(),
                execution: Execution::Batched,
            },
        );
        if settings.tools {
            conversation = conversation.with_tools(Arc::new(WindowTools));
        }
        let (sender, updates) = mpsc::channel(WAITING_UPDATES);
        let exchange = conversation.say(settings.prompt.as_str(), sender, wake);
        Ok(Self { begin: Instant::now(), exchange, updates })
    }

    /// Stops it; its end is still to come.
    pub fn stop(&self) {
        self.exchange.stop_handle().stop_all();
    }

    /// Takes what came since the last frame into `single`. Returns whether the answer goes on.
    pub fn drain(&mut self, single: &mut SingleState) -> bool {
        while let Ok(update) = self.updates.try_recv() {
            single.apply(update);
        }
        if self.updates.is_closed() && self.updates.is_empty() {
            single.break_off("The answer ended unexpectedly; generate it again.");
        }
        single.tick(self.begin.elapsed().as_secs_f64());
        single.is_generating()
    }
}

/// Another seed at every press of Generate.
fn seed_of_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

/// The single prompt.
#[derive(Default)]
pub struct Single {
    live: Option<LiveSingle>,
}

impl Single {
    /// Answers the prompt, unless something is on.
    pub fn generate(&mut self, shell: &mut Shell) {
        let Some(model) = shell.models.current().filter(|_| !shell.state.is_busy()) else { return };
        match LiveSingle::start(model, &shell.state.settings.single, shell.pace.wake()) {
            Ok(live) => {
                self.live = Some(live);
                shell.state.single.start();
            }
            Err(message) => shell.state.notify(Tone::Problem, message),
        }
    }
}

impl Feature for Single {
    fn take_in(&mut self, shell: &mut Shell) {
        if let Some(live) = &mut self.live
            && !live.drain(&mut shell.state.single)
        {
            self.live = None;
        }
    }

    fn stop(&mut self, _shell: &mut Shell) {
        if let Some(live) = &self.live {
            live.stop();
        }
    }
}
