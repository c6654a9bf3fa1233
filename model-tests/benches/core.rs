//! How long the core takes, and what it allocates: nothing.

use divan::{AllocProfiler, Bencher, counter::BytesCount};
use handoff_benches::{Handoff, Messages};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

fn messages() -> Messages {
    Messages::new().expect("the codecs agree")
}

/// A handoff through all machines, in memory. The host in it is the core's own test bench.
#[divan::bench]
fn handoff(bencher: Bencher<'_, '_>) {
    bencher
        .with_inputs(Handoff::prepare)
        .bench_local_refs(Handoff::run);
}

#[divan::bench(sample_size = 1000)]
fn encode(bencher: Bencher<'_, '_>) {
    let (messages, mut room) = (messages(), [0; 512]);
    bencher
        .counter(BytesCount::new(messages.bytes()))
        .bench_local(|| messages.encode(&mut room));
}

#[divan::bench(sample_size = 1000)]
fn encode_v1(bencher: Bencher<'_, '_>) {
    let (messages, mut room) = (messages(), Vec::with_capacity(512));
    bencher
        .counter(BytesCount::new(messages.bytes()))
        .bench_local(|| messages.encode_v1(&mut room));
}

#[divan::bench(sample_size = 1000)]
fn decode(bencher: Bencher<'_, '_>) {
    let (messages, mut room) = (messages(), [0; 512]);
    bencher
        .counter(BytesCount::new(messages.bytes()))
        .bench_local(|| messages.decode(&mut room));
}

#[divan::bench(sample_size = 1000)]
fn decode_v1(bencher: Bencher<'_, '_>) {
    let messages = messages();
    bencher
        .counter(BytesCount::new(messages.bytes()))
        .bench_local(|| messages.decode_v1());
}
