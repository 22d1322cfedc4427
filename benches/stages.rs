//! How fast the stages are: an ordinary payload through the index and through the full decoding, and a generated
//! capture through the whole analysis on one thread.

use std::hint::black_box;
use std::sync::Arc;

use ckscope::analyzer::{Analyzer, Options};
use ckscope::capture::Batch;
use ckscope::capture::file::Reader;
use ckscope::dissect::{CommandCode, Decoded, Definitions, Indexer, Payload, TextHasher, Texts};
use ckscope::lab::generate::Bulk;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const REQUEST: CommandCode = CommandCode(0x4108);
const PAYLOAD: &[u8] = br#"{"Application source ID":"app-1","Application destination ID":"app-4","Session ID":"cd613e30-d8f1-4adf-91b7-584a2265b1f5","Source KM ID":"KM-1","Number of keys":5}"#;
/// The same with an escape, which takes the way through serde_json.
const ESCAPED: &[u8] = br#"{"Application source ID":"app\u002d1","Application destination ID":"app-4","Session ID":"cd613e30-d8f1-4adf-91b7-584a2265b1f5","Source KM ID":"KM-1","Number of keys":5}"#;

const MESSAGES: u64 = 100_000;

fn payloads(criterion: &mut Criterion) {
    let definitions = Arc::new(Definitions::q4164());
    let mut indexer = Indexer::new(Arc::clone(&definitions), TextHasher::default());
    let mut group = criterion.benchmark_group("payload");
    group.throughput(Throughput::Bytes(PAYLOAD.len() as u64));
    for (name, payload) in [("ordinary", PAYLOAD), ("escaped", ESCAPED)] {
        group.bench_function(format!("index, {name}"), |bencher| {
            let mut texts = Texts::default();
            bencher.iter(|| {
                texts.bytes.clear();
                indexer.index(REQUEST, Payload::json(black_box(payload)), &mut texts)
            });
        });
        group.bench_function(format!("decode, {name}"), |bencher| {
            bencher.iter(|| Decoded::new(&definitions, REQUEST, Payload::json(black_box(payload))));
        });
    }
    group.finish();
}

fn analysis(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("generated.pcapng");
    let mut group = criterion.benchmark_group("analysis");
    group.throughput(Throughput::Elements(MESSAGES)).sample_size(10);
    for connections in [64, 10_000] {
        let file = std::io::BufWriter::new(std::fs::File::create(&path).expect("a temporary file"));
        Bulk { messages: MESSAGES, connections, seed: 1 }.write(file).expect("a capture");
        group.bench_function(format!("{connections} connections"), |bencher| {
            bencher.iter(|| {
                let (mut reader, errors) = Reader::open(std::slice::from_ref(&path));
                assert!(errors.is_empty());
                let mut analyzer = Analyzer::new(Options::new(Arc::new(Definitions::q4164())));
                let mut batch = Batch::default();
                while reader.read_batch(&mut batch, 1024) {
                    analyzer.batch(&batch);
                }
                assert_eq!(analyzer.finish().records.len() as u64, MESSAGES);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, payloads, analysis);
criterion_main!(benches);
