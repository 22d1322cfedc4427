//! The whole way from packets to what is printed, through the library's public face.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use ckscope::analyzer::{Analyzer, Options};
use ckscope::capture::file::Reader;
use ckscope::capture::{Batch, Block};
use ckscope::dissect::Definitions;
use ckscope::journal::View;
use ckscope::output::jsonl;
use ckscope::tls::Secrets;
use serde_json::Value;

static Q4164: LazyLock<Arc<Definitions>> = LazyLock::new(|| Arc::new(Definitions::q4164()));

/// How the work is cut up, which must make no difference.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    pub batch: usize,
    pub threads: usize,
}

/// As little ceremony as possible.
pub const PLAIN: Cut = Cut { batch: 4096, threads: 1 };

/// What `read`, `flows` and `connections` print with `--format jsonl`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Printed {
    pub messages: String,
    pub procedures: String,
    pub connections: String,
}

impl Printed {
    pub fn messages(&self) -> Vec<Value> {
        objects(&self.messages)
    }

    pub fn procedures(&self) -> Vec<Value> {
        objects(&self.procedures)
    }

    pub fn connections(&self) -> Vec<Value> {
        objects(&self.connections)
    }

    /// What is printed of `view`.
    pub fn of(view: View<'_>) -> Self {
        let (mut messages, mut procedures, mut connections) = (Vec::new(), Vec::new(), Vec::new());
        (0..view.journal.records.len()).for_each(|at| jsonl::message(&mut messages, view, at as u32).unwrap());
        let mut lines = jsonl::Procedures::new(view);
        (0..view.journal.procedures.len()).for_each(|at| lines.write(&mut procedures, at as u32));
        (0..view.journal.connections.len())
            .for_each(|at| jsonl::connection(&mut connections, view, at as u32).unwrap());
        let [messages, procedures, connections] =
            [messages, procedures, connections].map(|lines| String::from_utf8(lines).unwrap());
        Self { messages, procedures, connections }
    }
}

/// One JSON object per line.
pub fn objects(lines: &str) -> Vec<Value> {
    lines.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

/// The codes of a message's diagnostics.
pub fn diagnostics(message: &Value) -> Vec<&str> {
    message["diagnostics"].as_array().unwrap().iter().map(|found| found["code"].as_str().unwrap()).collect()
}

pub fn analyzer(threads: usize) -> Analyzer {
    Analyzer::new(Options { threads, ..options() })
}

/// What nobody asked to be otherwise.
pub fn options() -> Options {
    Options::new(Arc::clone(&Q4164))
}

/// With a vendor's schema beside the built-in one.
pub fn options_with_schema(file: &Path) -> Options {
    let mut compiler = protox::Compiler::new([file.parent().unwrap()]).unwrap();
    compiler.include_imports(true).open_file(file.file_name().unwrap()).unwrap();
    let mut definitions = Definitions::q4164();
    definitions.add_schemas(compiler.descriptor_pool());
    Options::new(Arc::new(definitions))
}

/// What is printed for a file, which must open.
pub fn analyze_file(path: &Path, cut: Cut) -> Printed {
    analyze_file_with(path, cut, options())
}

pub fn analyze_file_with(path: &Path, cut: Cut, options: Options) -> Printed {
    let (mut reader, errors) = Reader::open(&[path.to_owned()]);
    assert!(errors.is_empty(), "{errors:?}");
    let mut analyzer = Analyzer::new(Options { threads: cut.threads, ..options });
    let mut batch = Batch::default();
    let again = reader.again();
    analyzer.reserve_secrets(move || Secrets::of(again.key_logs_ahead()));
    while reader.read_batch(&mut batch, cut.batch) {
        analyzer.batch(&batch);
    }
    analyzer.finish();
    Printed::of(View { journal: analyzer.journal(), blocks: reader.blocks() })
}

/// What is printed for packets that lie in no file.
pub fn analyze_packets(all: &Batch, cut: Cut) -> Printed {
    analyze_packets_with(all, cut, options())
}

pub fn analyze_packets_with(all: &Batch, cut: Cut, options: Options) -> Printed {
    let blocks: &[Block] = &all.blocks;
    let mut analyzer = Analyzer::new(Options { threads: cut.threads, ..options });
    for packets in all.packets.chunks(cut.batch) {
        analyzer.batch(&Batch { blocks: blocks.to_vec(), packets: packets.to_vec(), ..Batch::default() });
    }
    analyzer.finish();
    Printed::of(View { journal: analyzer.journal(), blocks })
}
