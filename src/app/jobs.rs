//! Work in the background, each together with what is to be done once it is done.
//!
//! Whoever starts a job says then and there what follows: nothing has to remember the job and look after it.

use super::work::{Wake, Work};
use std::future::Future;

/// What follows a job that is done.
pub type Then<C> = Box<dyn FnOnce(&mut C)>;

/// The jobs that are on. `C` is what the deeds that follow them work on.
pub struct Jobs<C> {
    wake: Wake,
    running: Vec<Job<C>>,
}

struct Job<C> {
    name: &'static str,
    /// Gives what follows, once, as soon as the job is done.
    look: Box<dyn FnMut() -> Option<Then<C>>>,
}

impl<C: 'static> Jobs<C> {
    /// No jobs yet. `wake` is called after each one, so that [`Self::take_done`] is.
    pub fn new(wake: Wake) -> Self {
        Self { wake, running: Vec::new() }
    }

    /// Starts `future`, and `then` after it; must be called within a tokio runtime. An error is in words for a person.
    /// One of the same name that is still on is given up.
    pub fn start<T: Send + 'static>(
        &mut self,
        name: &'static str,
        future: impl Future<Output = Result<T, String>> + Send + 'static,
        then: impl FnOnce(&mut C, Result<T, String>) + 'static,
    ) {
        let work = Work::start(self.wake.clone(), future);
        self.add(name, work, then);
    }

    /// Starts work that waits for files, on a thread of its own; else as [`Self::start`].
    pub fn blocking<T: Send + 'static>(
        &mut self,
        name: &'static str,
        work: impl FnOnce() -> Result<T, String> + Send + 'static,
        then: impl FnOnce(&mut C, Result<T, String>) + 'static,
    ) {
        let work = Work::blocking(self.wake.clone(), work);
        self.add(name, work, then);
    }

    fn add<T: Send + 'static>(
        &mut self,
        name: &'static str,
        mut work: Work<T>,
        then: impl FnOnce(&mut C, Result<T, String>) + 'static,
    ) {
        let mut then = Some(then);
        let look = move || {
            let outcome = work.take()?;
            let then = then.take()?;
            Some(Box::new(move |context: &mut C| then(context, outcome)) as Then<C>)
        };
        self.running.retain(|job| job.name != name);
        self.running.push(Job { name, look: Box::new(look) });
    }

    /// Whether a job of this name is on.
    pub fn is_running(&self, name: &str) -> bool {
        self.running.iter().any(|job| job.name == name)
    }

    /// What follows the jobs that are done by now, in the order in which they were started.
    pub fn take_done(&mut self) -> Vec<Then<C>> {
        let mut done = Vec::new();
        self.running.retain_mut(|job| match (job.look)() {
            Some(then) => {
                done.push(then);
                false
            }
            None => true,
        });
        done
    }
}

#[cfg(test)]
mod tests {
    use super::Jobs;
    use std::sync::Arc;
    use std::time::Duration;

    type Seen = Vec<Result<u32, String>>;

    async fn all_done(jobs: &mut Jobs<Seen>, seen: &mut Seen, names: &[&str]) {
        while names.iter().any(|name| jobs.is_running(name)) {
            tokio::time::sleep(Duration::from_millis(1)).await;
            jobs.take_done().into_iter().for_each(|then| then(seen));
        }
    }

    #[tokio::test]
    async fn what_follows_a_job_is_done_once() {
        let (mut jobs, mut seen) = (Jobs::new(Arc::new(|| {})), Seen::new());
        jobs.start("one", async { Ok(1) }, |seen: &mut Seen, outcome| seen.push(outcome));
        all_done(&mut jobs, &mut seen, &["one"]).await;
        assert!(jobs.take_done().is_empty());
        assert_eq!(seen, [Ok(1)]);
    }

    #[tokio::test]
    async fn a_job_takes_the_place_of_the_one_of_its_name_and_of_no_other() {
        let (mut jobs, mut seen) = (Jobs::new(Arc::new(|| {})), Seen::new());
        jobs.start("list", std::future::pending(), |seen: &mut Seen, outcome| seen.push(outcome));
        jobs.blocking("save", || Err("no room".into()), |seen: &mut Seen, outcome| seen.push(outcome));
        all_done(&mut jobs, &mut seen, &["save"]).await;
        jobs.start("list", async { Ok(2) }, |seen: &mut Seen, outcome| seen.push(outcome));
        all_done(&mut jobs, &mut seen, &["list"]).await;
        assert_eq!(seen, [Err("no room".into()), Ok(2)]);
    }

    #[tokio::test]
    async fn a_job_that_panics_is_told_as_an_error() {
        let (mut jobs, mut seen) = (Jobs::new(Arc::new(|| {})), Seen::new());
        jobs.blocking("break", || panic!("on purpose"), |seen: &mut Seen, outcome| seen.push(outcome));
        all_done(&mut jobs, &mut seen, &["break"]).await;
        assert!(matches!(&seen[..], [Err(words)] if words.contains("failed unexpectedly")), "{seen:?}");
    }
}
