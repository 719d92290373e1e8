//! The steps of a reload: the check of the configuration, then the execution of the new image. The
//! [life cycle](super::lifecycle) permits each.

use super::Supervisor;
use crate::log::catalog;
use crate::os::clock;

impl Supervisor {
    /// Performs the next step of a reload, if one is due.
    pub(super) fn reload(&mut self) {
        if self.lifecycle.is_serving() && self.root_reload.is_due(self.workers.board(), clock::now_ms()) {
            tracing::info!(
                "Starting new workers: the document root is now a directory outside the sandbox of the present ones."
            );
            self.lifecycle.request_reload();
        }
        if self.lifecycle.is_exec_pending() && !self.metrics.is_busy() {
            self.exec_new_image();
        }
        if self.lifecycle.begin_reload() {
            self.begin_reload();
        }
    }

    /// Starts the check of the configuration. The server continues meanwhile.
    fn begin_reload(&mut self) {
        self.notify.reloading();
        self.reload_error = None;
        self.next_tick_ms = 0;
        if let Err(why) = self.check.begin(clock::now_ms()) {
            self.fail_reload(why);
        }
    }

    /// Handles the result of the check. The new image is executed once the clients of the metrics sockets have their responses.
    pub(super) fn end_check(&mut self, verdict: Result<(), String>) {
        match verdict {
            Ok(()) if self.lifecycle.check_passed() => self.metrics.close(),
            Ok(()) => {}
            Err(why) => self.fail_reload(why),
        }
    }

    /// Executes the new image of the program; returns only if that fails.
    fn exec_new_image(&mut self) {
        // The next image does not know it, and starts another one.
        self.helper.kill();
        let program = &self.check.program;
        let mut handover = self.workers.handover();
        self.helper.digests().into_iter().for_each(|memory| handover.digests(memory));
        self.helper.compressed().into_iter().for_each(|memory| handover.compressed(memory));
        if let (Some(sender), Some(receiver)) = (self.workers.work_sender(), self.helper.work_receiver()) {
            handover.work_queue(sender, receiver);
        }
        self.ticket_keys.memory().into_iter().for_each(|memory| handover.ticket_keys(memory));
        self.keys.add_to(&mut handover);
        self.logins.add_to(&mut handover);
        let error = handover.exec(program);
        let why = format!("Cannot execute {} ({}).", program.display(), error.desc());
        self.metrics.open(clock::now_ms());
        self.fail_reload(why);
    }

    fn fail_reload(&mut self, why: String) {
        if !self.lifecycle.reload_failed() {
            return;
        }
        tracing::error!(
            message_id = catalog::RELOAD_REFUSED,
            why,
            "Reload failed; still running with the previous configuration. {why}"
        );
        self.reload_error = Some(why);
        self.next_tick_ms = 0;
        self.notify.ready();
    }
}
