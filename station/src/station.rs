//! The role: who is asked what, in which order.

use crate::config::StationConfig;
use syncom_seam::{Done, Loaded, Now, Origin, Outbox, Role, Timer};
use syncom_wire::Frame;

/// One replica of the tracking station.
#[derive(Debug)]
pub struct Station {
    config: StationConfig,
}

impl Station {
    /// A replica that goes on from what its store holds.
    ///
    /// # Errors
    /// One sentence saying what is wrong with the configuration or with what was loaded.
    pub fn new(config: StationConfig, loaded: Loaded) -> Result<Self, String> {
        config.validate()?;
        let _ = loaded;
        Ok(Self { config })
    }
}

impl Role for Station {
    fn on_start<O: Outbox>(&mut self, _now: Now, _out: &mut O) {
        let _ = &self.config;
    }

    fn on_frame<O: Outbox>(&mut self, _now: Now, _from: &Origin, _frame: &Frame<'_>, _out: &mut O) {
    }

    fn on_timer<O: Outbox>(&mut self, _now: Now, _timer: Timer, _out: &mut O) {}

    fn on_done<O: Outbox>(&mut self, _now: Now, _done: Done, _out: &mut O) {}

    fn on_burst_end<O: Outbox>(&mut self, _now: Now, _out: &mut O) {}
}
