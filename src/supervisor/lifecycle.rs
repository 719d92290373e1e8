//! The life cycle of the server: starting, serving, reloading, lame duck, draining. Only permitted transitions exist; the
//! [supervisor](super::Supervisor) performs the actions that belong to them.

/// The time for a killed worker to exit before it is left to systemd, in milliseconds. An unresponsive disk can keep a
/// process from exiting after any signal.
const KILL_GRACE_MS: u64 = 3_000;

/// The phase of the server, and whether a reload was requested that has not begun.
#[derive(Debug)]
pub struct Lifecycle {
    state: State,
    reload_requested: bool,
}

/// The phase of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not all new workers have become ready.
    Starting,
    /// All workers have been ready; they are restarted individually.
    Serving,
    /// A child process validates the configuration for a reload.
    Checking,
    /// The configuration is valid; the new image is executed once the clients of the metrics sockets have their responses.
    ExecPending,
    /// The server is about to stop at `until_ms` (`--lame-duck`): it says so to those that check its health, and serves.
    LameDuck { until_ms: u64 },
    /// The server stops: requests in flight have until `kill_at_ms`.
    Draining { kill_at_ms: u64 },
}

/// The action that is due while the server drains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DrainAction {
    /// The requests in flight have time left.
    Wait,
    /// The timeout has expired: the workers are killed.
    Kill,
    /// A killed worker does not exit: it is left to systemd.
    GiveUp,
}

impl Lifecycle {
    /// Returns the life cycle of a server that starts.
    pub fn new() -> Self {
        Lifecycle { state: State::Starting, reload_requested: false }
    }

    /// Moves from starting to serving, when all workers are ready. Returns whether this is that transition.
    pub fn all_ready(&mut self) -> bool {
        self.transition(State::Starting, State::Serving)
    }

    /// Records a request to reload. It takes effect while the server serves; until then it stays.
    pub fn request_reload(&mut self) {
        self.reload_requested = true;
    }

    /// Moves from serving to checking, if a reload was requested. Returns whether this is that transition.
    pub fn begin_reload(&mut self) -> bool {
        let begins = self.reload_requested && self.transition(State::Serving, State::Checking);
        self.reload_requested &= !begins;
        begins
    }

    /// Moves from checking to the execution of the new image. Returns whether this is that transition: a stop ends a reload.
    pub fn check_passed(&mut self) -> bool {
        self.transition(State::Checking, State::ExecPending)
    }

    /// Moves back to serving after a failed check or execution. Returns whether a reload was in progress: a stop ends it.
    pub fn reload_failed(&mut self) -> bool {
        self.transition(State::Checking, State::Serving) || self.transition(State::ExecPending, State::Serving)
    }

    /// Moves to the lame duck, unless that has begun or the server stops. Returns whether this is that transition: it ends a reload.
    pub fn begin_lame_duck(&mut self, until_ms: u64) -> bool {
        let is_permitted = self.lame_duck_until_ms().is_none() && !self.is_stopping();
        if is_permitted {
            self.state = State::LameDuck { until_ms };
        }
        is_permitted
    }

    /// Returns when the lame duck ends; none in other states.
    pub fn lame_duck_until_ms(&self) -> Option<u64> {
        match self.state {
            State::LameDuck { until_ms } => Some(until_ms),
            _ => None,
        }
    }

    /// Moves from any state to draining, with a deadline for the requests in flight; a second stop replaces the deadline.
    pub fn stop(&mut self, kill_at_ms: u64) {
        self.state = State::Draining { kill_at_ms };
    }

    /// Returns whether all workers have been ready and the server neither stops nor is about to.
    pub fn is_serving(&self) -> bool {
        !matches!(self.state, State::Starting | State::LameDuck { .. } | State::Draining { .. })
    }

    /// Returns whether the server stops.
    pub fn is_stopping(&self) -> bool {
        matches!(self.state, State::Draining { .. })
    }

    /// Returns whether the new image is to be executed.
    pub fn is_exec_pending(&self) -> bool {
        self.state == State::ExecPending
    }

    /// Returns the action that is due at `now_ms`; None if the server does not drain.
    pub fn drain_action(&self, now_ms: u64) -> Option<DrainAction> {
        let State::Draining { kill_at_ms } = self.state else { return None };
        Some(match now_ms {
            _ if now_ms >= kill_at_ms + KILL_GRACE_MS => DrainAction::GiveUp,
            _ if now_ms >= kill_at_ms => DrainAction::Kill,
            _ => DrainAction::Wait,
        })
    }

    /// Returns the word for the status line. If there are old workers, starting is the second half of a reload.
    pub fn name(&self, has_old_workers: bool) -> &'static str {
        match self.state {
            State::Starting if has_old_workers => "Reloading",
            State::Starting => "Starting",
            State::Serving => "Serving",
            State::Checking | State::ExecPending => "Reloading",
            State::LameDuck { .. } => "Lame duck",
            State::Draining { .. } => "Draining",
        }
    }

    fn transition(&mut self, from: State, to: State) -> bool {
        let is_permitted = self.state == from;
        if is_permitted {
            self.state = to;
        }
        is_permitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAINING: State = State::Draining { kill_at_ms: 5_000 };
    const LAME_DUCK: State = State::LameDuck { until_ms: 4_000 };
    const STATES: [State; 6] =
        [State::Starting, State::Serving, State::Checking, State::ExecPending, LAME_DUCK, DRAINING];

    fn in_state(state: State) -> Lifecycle {
        Lifecycle { state, reload_requested: false }
    }

    /// Applies `event` in each state and compares the states after it; an event that is not permitted changes nothing.
    fn assert_moves(event: impl Fn(&mut Lifecycle) -> bool, expected: [State; 6]) {
        for (before, after) in STATES.into_iter().zip(expected) {
            let mut lifecycle = in_state(before);
            assert_eq!(event(&mut lifecycle), before != after, "{before:?}");
            assert_eq!(lifecycle.state, after, "{before:?}");
        }
    }

    #[test]
    fn the_first_time_that_all_workers_are_ready_ends_the_start() {
        let serving = State::Serving;
        assert_moves(
            Lifecycle::all_ready,
            [serving, serving, State::Checking, State::ExecPending, LAME_DUCK, DRAINING],
        );
    }

    #[test]
    fn a_reload_begins_only_while_serving() {
        let begin = |lifecycle: &mut Lifecycle| {
            lifecycle.request_reload();
            lifecycle.begin_reload()
        };
        let checking = State::Checking;
        assert_moves(begin, [State::Starting, checking, checking, State::ExecPending, LAME_DUCK, DRAINING]);
    }

    #[test]
    fn a_reload_begins_once_for_each_request_and_waits_for_the_one_before() {
        let mut lifecycle = in_state(State::Starting);
        assert!(!lifecycle.begin_reload());
        lifecycle.request_reload();
        assert!(!lifecycle.begin_reload(), "not before the workers are ready");
        assert!(lifecycle.all_ready());
        assert!(lifecycle.begin_reload(), "the request from the start is kept");
        lifecycle.request_reload();
        assert!(!lifecycle.begin_reload(), "one reload at a time");
        assert!(lifecycle.reload_failed());
        assert!(lifecycle.begin_reload(), "the request from the check is kept");
        assert!(lifecycle.reload_failed());
        assert!(!lifecycle.begin_reload(), "each request begins one reload");
    }

    #[test]
    fn a_passed_check_leads_to_the_execution_of_the_new_image() {
        let exec_pending = State::ExecPending;
        let expected = [State::Starting, State::Serving, exec_pending, exec_pending, LAME_DUCK, DRAINING];
        assert_moves(Lifecycle::check_passed, expected);
        for state in STATES {
            assert_eq!(in_state(state).is_exec_pending(), state == State::ExecPending);
        }
    }

    #[test]
    fn a_failed_reload_returns_to_serving_unless_the_server_stops() {
        let serving = State::Serving;
        assert_moves(Lifecycle::reload_failed, [State::Starting, serving, serving, serving, LAME_DUCK, DRAINING]);
    }

    #[test]
    fn every_state_leads_to_one_lame_duck_unless_the_server_stops() {
        let begin = |lifecycle: &mut Lifecycle| lifecycle.begin_lame_duck(4_000);
        assert_moves(begin, [LAME_DUCK, LAME_DUCK, LAME_DUCK, LAME_DUCK, LAME_DUCK, DRAINING]);
        assert_eq!(
            STATES.map(|state| in_state(state).lame_duck_until_ms()),
            [None, None, None, None, Some(4_000), None]
        );
        assert!(!in_state(LAME_DUCK).is_stopping());
    }

    #[test]
    fn every_state_leads_to_draining_and_a_second_stop_replaces_the_deadline() {
        for state in STATES {
            let mut lifecycle = in_state(state);
            lifecycle.stop(9_000);
            assert_eq!(lifecycle.drain_action(1_000), Some(DrainAction::Wait));
            lifecycle.stop(1_000);
            assert_eq!(lifecycle.drain_action(1_000), Some(DrainAction::Kill));
            assert!(lifecycle.is_stopping() && !lifecycle.is_serving());
        }
    }

    #[test]
    fn workers_are_killed_at_the_deadline_and_given_up_three_seconds_later() {
        assert_eq!(in_state(State::Serving).drain_action(u64::MAX), None);
        for (now_ms, due) in [
            (0, DrainAction::Wait),
            (4_999, DrainAction::Wait),
            (5_000, DrainAction::Kill),
            (7_999, DrainAction::Kill),
            (8_000, DrainAction::GiveUp),
        ] {
            assert_eq!(in_state(DRAINING).drain_action(now_ms), Some(due), "{now_ms}");
        }
    }

    #[test]
    fn the_status_line_names_the_state() {
        let names = STATES.map(|state| (in_state(state).name(false), in_state(state).name(true)));
        let expected = [
            ("Starting", "Reloading"),
            ("Serving", "Serving"),
            ("Reloading", "Reloading"),
            ("Reloading", "Reloading"),
            ("Lame duck", "Lame duck"),
            ("Draining", "Draining"),
        ];
        assert_eq!(names, expected);
        assert_eq!(STATES.map(|state| in_state(state).is_serving()), [false, true, true, true, false, false]);
    }
}
