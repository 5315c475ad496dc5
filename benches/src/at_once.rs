//! Many things at the same moment.

use std::{
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use ten_testkit::http::allow_many_files;

/// Enough for one request in a thread of its own, so that a thousand of them fit.
const STACK_BYTES: usize = 128 * 1024;

/// Lets `n` threads prepare, and then act together. Returns the time from the first that
/// began to act to the last that ended, and what each made of it.
pub(crate) fn at_once<P, T: Send>(
    n: usize,
    prepare: impl Fn(usize) -> P + Sync,
    act: impl Fn(usize, P) -> T + Sync,
) -> (Duration, Vec<T>) {
    allow_many_files();
    let all_prepared = Barrier::new(n);
    let one = |i| {
        let prepared = prepare(i);
        all_prepared.wait();
        let start = Instant::now();
        let made = act(i, prepared);
        (start, Instant::now(), made)
    };
    let results: Vec<_> = thread::scope(|scope| {
        let one = &one;
        let spawn = |i| {
            let builder = thread::Builder::new().stack_size(STACK_BYTES);
            builder.spawn_scoped(scope, move || one(i)).expect("a thread for each")
        };
        let threads: Vec<_> = (0..n).map(spawn).collect();
        threads.into_iter().map(|thread| thread.join().expect("it does not panic")).collect()
    });
    let start = results.iter().map(|(start, ..)| *start).min();
    let end = results.iter().map(|(_, end, _)| *end).max();
    let took = start.zip(end).map_or(Duration::ZERO, |(start, end)| end - start);
    (took, results.into_iter().map(|(.., made)| made).collect())
}
