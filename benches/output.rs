//! What a line of output costs: procedures and messages of a generated capture, by format.

use std::hint::black_box;
use std::sync::Arc;

use ckscope::analyzer::{Analyzer, Options};
use ckscope::capture::Batch;
use ckscope::capture::file::Reader;
use ckscope::dissect::Definitions;
use ckscope::identities::Identities;
use ckscope::journal::View;
use ckscope::lab::generate::Bulk;
use ckscope::output::clock::{Clock, TimeStyle};
use ckscope::output::style::Styles;
use ckscope::output::{fields, flows, jsonl, read};
use ckscope::time::Timestamp;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const MESSAGES: u64 = 20_000;
const COLUMNS: usize = 200;

fn lines(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("generated.pcapng");
    let file = std::io::BufWriter::new(std::fs::File::create(&path).expect("a temporary file"));
    Bulk { messages: MESSAGES, connections: 64, seed: 1 }.write(file).expect("a capture");
    let (mut reader, errors) = Reader::open(std::slice::from_ref(&path));
    assert!(errors.is_empty());
    let mut analyzer = Analyzer::new(Options::new(Arc::new(Definitions::q4164())));
    let mut batch = Batch::default();
    while reader.read_batch(&mut batch, 1024) {
        analyzer.batch(&batch);
    }
    analyzer.finish();
    let view = View { journal: analyzer.journal(), blocks: reader.blocks() };
    let (procedures, messages) = (view.journal.procedures.len() as u32, view.journal.records.len() as u32);
    let clock = || Clock::new(TimeStyle::Relative, Timestamp(0), view.journal.end, false);
    let columns = fields::Field::columns(&view.journal.definitions);
    let mut out = Vec::new();

    let mut group = criterion.benchmark_group("procedure");
    group.throughput(Throughput::Elements(u64::from(procedures))).sample_size(20);
    group.bench_function("jsonl", |bencher| {
        bencher.iter(|| {
            out.clear();
            let mut lines = jsonl::Procedures::new(view);
            (0..procedures).for_each(|index| lines.write(&mut out, index));
            black_box(out.len())
        });
    });
    group.bench_function("text", |bencher| {
        bencher.iter(|| {
            out.clear();
            let identities = Identities::new(view, 1);
            let kms = identities.kms();
            let mut listing = flows::Listing::new(view, (&identities, &kms), clock(), Styles::plain(), COLUMNS);
            (0..procedures).for_each(|index| listing.write(&mut out, index).expect("memory"));
            black_box(out.len())
        });
    });
    group.finish();

    let mut group = criterion.benchmark_group("message");
    group.throughput(Throughput::Elements(u64::from(messages))).sample_size(20);
    group.bench_function("jsonl", |bencher| {
        bencher.iter(|| {
            out.clear();
            (0..messages).for_each(|index| jsonl::message(&mut out, view, index).expect("memory"));
            black_box(out.len())
        });
    });
    group.bench_function("text", |bencher| {
        bencher.iter(|| {
            out.clear();
            let mut listing = read::Listing::new(view, clock(), Styles::plain(), COLUMNS, false);
            (0..messages).for_each(|index| listing.write(&mut out, view, index).expect("memory"));
            black_box(out.len())
        });
    });
    group.bench_function("csv", |bencher| {
        bencher.iter(|| {
            out.clear();
            (0..messages).for_each(|index| fields::csv(&mut out, view, index, &columns).expect("memory"));
            black_box(out.len())
        });
    });
    group.finish();
}

criterion_group!(benches, lines);
criterion_main!(benches);
