//! Every feature of the window. A new one is a file and a line here.

use super::arrivals::Arrivals;
use super::catalog::Catalog;
use super::feature::Feature;
use super::files::Files;
use super::loading::ModelLoading;
use super::machine::MachineMemory;
use super::menu::Menu;
use super::parallel::Parallel;
use super::race::Race;
use super::recent::RecentRuns;
use super::scaling::Scaling;
use super::settings::SettingsKeeping;
use super::shell::Shell;
use super::single::Single;
use super::tuning::EngineTuning;
use super::verify::Verify;

macro_rules! features {
    ($($(#[$words:meta])* $name:ident: $feature:ty,)*) => {
        /// Every feature of the window, in the order in which they take in what happened.
        #[derive(Default)]
        pub struct Features {
            $($(#[$words])* pub $name: $feature,)*
        }

        impl Features {
            fn each(&mut self) -> impl DoubleEndedIterator<Item = &mut dyn Feature> {
                [$(&mut self.$name as &mut dyn Feature),*].into_iter()
            }
        }
    };
}

features! {
    /// The parallel run.
    parallel: Parallel,
    /// The same run serialized and then batched.
    race: Race,
    /// The replay of a finished run.
    verify: Verify,
    /// The sweep over numbers of sessions.
    scaling: Scaling,
    /// The single prompt.
    single: Single,
    /// A model on its way.
    loading: ModelLoading,
    /// Stall budget and cache limit on their way to the engines.
    tuning: EngineTuning,
    /// The menu bar.
    menu: Menu,
    /// Runs on their way to and from files.
    files: Files,
    /// Files that were dropped or opened from outside.
    arrivals: Arrivals,
    /// The models to choose from.
    catalog: Catalog,
    /// The runs that ended.
    recent: RecentRuns,
    /// The memory of MLX and of the machine.
    machine: MachineMemory,
    /// Theme, zoom, and the settings' file.
    settings: SettingsKeeping,
}

impl Features {
    /// Once, before the first frame.
    pub fn begin(&mut self, shell: &mut Shell) {
        self.each().for_each(|feature| feature.begin(shell));
    }

    /// Takes in what happened since the last frame.
    pub fn take_in(&mut self, shell: &mut Shell) {
        self.each().for_each(|feature| feature.take_in(shell));
    }

    /// Stops whatever the model is busy with.
    pub fn stop(&mut self, shell: &mut Shell) {
        self.each().for_each(|feature| feature.stop(shell));
    }

    /// Ends everything, what began last first.
    pub fn close(&mut self, shell: &mut Shell) {
        self.each().rev().for_each(|feature| feature.close(shell));
        *self = Self::default();
    }
}
