use super::*;
use crate::http::request::Method;

#[test]
fn counts_are_summed_and_gauges_are_cleared() {
    let board = Scoreboard::new(2).unwrap();
    board.counters(0).add(Counter::Accepted, 2);
    board.counters(1).add(Counter::Accepted, 3);
    board.counters(1).add(Counter::InFlight, 1);
    assert_eq!(board.total(Counter::Accepted), 5);
    board.counters(1).clear_gauges();
    assert_eq!(board.total(Counter::InFlight), 0);
    assert_eq!(board.total(Counter::Accepted), 5);
}

#[test]
fn requests_are_counted_by_method_and_class() {
    let board = Scoreboard::new(2).unwrap();
    for (method, status) in [(Method::Get, 200), (Method::Get, 206), (Method::Unknown, 501), (Method::Head, 304)] {
        board.counters(0).count_request(method, status);
        board.counters(1).count_request(method, status);
    }
    assert_eq!((board.requests(), board.requests_of(0, 0)), (8, 4));
    assert_eq!((board.requests_of(1, 1), board.requests_of(3, 3), board.requests_of(0, 1)), (2, 2, 0));
}

#[test]
fn a_bound_belongs_to_the_durations_below_it() {
    let board = Scoreboard::new(1).unwrap();
    for (count, each_ns) in [(1, 0), (2, 100_000), (3, 100_001), (4, u64::MAX >> 8)] {
        board.counters(0).count_responses(count, each_ns);
    }
    let durations = board.durations();
    assert_eq!((durations.counts[0], durations.counts[1], durations.counts[16]), (3, 3, 4));
    assert_eq!(durations.counts.iter().sum::<u64>(), 10);
}

#[test]
fn the_newest_time_counts_and_none_in_the_future() {
    let board = Scoreboard::new(3).unwrap();
    for (worker, time) in [1_000, 2_000, u64::MAX].into_iter().enumerate() {
        board.counters(worker).set(Counter::RootAnswered, time);
    }
    let newest = |now_ms| board.newest(Counter::RootAnswered, now_ms);
    assert_eq!([newest(9_000), newest(1_999), newest(500)], [2_000, 1_999, 500]);
}

#[test]
fn counts_of_old_workers_are_taken_over() {
    let memories =
        |board: &Scoreboard| -> Vec<_> { board.memories().map(|fd| fd.try_clone_to_owned().unwrap()).collect() };
    let first = Scoreboard::new(2).unwrap();
    first.counters(0).add(Counter::Accepted, 2);
    first.counters(1).add(Counter::InFlight, 1);
    // Its second worker goes on,
    let mut second = Scoreboard::new(1).unwrap();
    let (worker, mut left) = (Pid::from_raw(7), memories(&first));
    second.add_old_worker(worker, left.remove(1));
    left.iter().for_each(|memory| second.take_over(memory));
    second.counters(0).add(Counter::Accepted, 10);
    first.counters(1).add(Counter::Accepted, 1);
    first.counters(1).add(Counter::LogDue, 5);
    assert_eq!((second.total(Counter::Accepted), second.total(Counter::InFlight)), (13, 1));
    assert_eq!((second.memory_index(worker), second.memories().count()), (Some(3), 4));
    // and then is gone,
    second.remove_old_worker(worker);
    assert_eq!((second.total(Counter::Accepted), second.total(Counter::InFlight)), (13, 0));
    assert_eq!((second.total(Counter::LogDropped), second.memory_index(worker)), (5, None));
    // as is that of the second.
    let third = Scoreboard::new(1).unwrap();
    second.counters(0).add(Counter::InFlight, 1);
    memories(&second).iter().for_each(|memory| third.take_over(memory));
    assert_eq!((third.total(Counter::Accepted), third.total(Counter::InFlight)), (13, 0));
}

#[test]
fn memory_of_another_layout_is_not_read() {
    let board = Scoreboard::new(1).unwrap();
    let memory = crate::os::sys::counters_memory(1_000).unwrap();
    let counters = crate::os::sys::WritableCounters::map(&memory, 1_000).unwrap();
    counters.iter().for_each(|counter| counter.store(LAYOUT - 1, Relaxed));
    board.take_over(&memory);
    assert_eq!(board.total(Counter::Accepted), 0);
    board.take_over(&crate::os::sys::counters_memory(1).unwrap());
}
