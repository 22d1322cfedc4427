//! The interface on a real terminal: tmux shows what is on it, and sends keys.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ckscope::analyzer::{Analyzer, Options};
use ckscope::capture::file::Reader;
use ckscope::dissect::Definitions;
use ckscope::journal::View;
use ckscope::tui::{Feed, Setup, Status, Still};

/// How long the screen may take to show something.
const PATIENCE: Duration = Duration::from_secs(30);

/// A terminal in a tmux server of its own, which is gone when this is dropped.
struct Terminal(String);

impl Terminal {
    /// None, with the reason told, where there is no tmux.
    fn new(name: &str, (columns, rows): (u16, u16)) -> Option<Self> {
        if Command::new("tmux").arg("-V").output().is_err() {
            eprintln!("skipped: tmux is not installed");
            return None;
        }
        let terminal = Self(format!("ckscope-{name}-{}", std::process::id()));
        let (columns, rows) = (columns.to_string(), rows.to_string());
        // A shell that says when it is asked something, and nothing else.
        terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", &columns, "-y", &rows, "env PS1='ready> ' sh"]);
        terminal.shows("ready>");
        Some(terminal)
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("tmux");
        let output = command.args(["-L", &self.0]).args(arguments).env("TERM", "xterm-256color").output().unwrap();
        assert!(output.status.success(), "tmux {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Types a line at the shell.
    fn run(&self, line: &str) {
        self.tmux(&["send-keys", "-l", line]);
        self.tmux(&["send-keys", "Enter"]);
    }

    fn keys(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    fn until(&self, what: &str, so: impl Fn(&str) -> bool) -> String {
        let start = Instant::now();
        loop {
            let screen = self.screen();
            if so(&screen) {
                return screen;
            }
            assert!(start.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}\n{screen}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn shows(&self, text: &str) -> String {
        self.until(text, |screen| screen.contains(text))
    }

    /// Whether the shell is back, on the screen that it had before, and echoes what is typed.
    fn is_given_back(&self, status: i32) {
        // What is typed before the prompt is there may still be taken by the interface.
        self.until("the prompt", |screen| screen.lines().rfind(|line| !line.trim().is_empty()) == Some("ready>"));
        self.run("echo \"status $?\"");
        let screen = self.shows(&format!("status {status}"));
        assert!(!screen.contains("Procedures"), "{screen}");
        self.run("echo typed-$((40 + 2)); stty -a | tr ' ;' '\\n\\n' | grep -x -e icanon -e echo");
        self.until("the terminal's own modes", |screen| {
            let lines: Vec<&str> = screen.lines().map(str::trim).collect();
            lines.contains(&"typed-42") && lines.contains(&"icanon") && lines.contains(&"echo")
        });
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = Command::new("tmux").args(["-L", &self.0, "kill-server"]).output();
    }
}

fn ckscope(arguments: &str) -> String {
    format!("{} {arguments}", env!("CARGO_BIN_EXE_ckscope"))
}

fn sample(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("captures").join(name).display().to_string()
}

#[test]
fn keys_lead_through_the_views_and_the_terminal_is_given_back() {
    let Some(terminal) = Terminal::new("walk", (80, 24)) else { return };
    terminal.run(&ckscope(&sample("failures.pcapng")));
    terminal.shows("6 procedures, 13 messages");
    terminal.keys(&["Enter"]);
    terminal.shows("Key relay request notification 0x1403");
    terminal.keys(&["3"]);
    terminal.shows("── Bytes");
    terminal.keys(&["/"]);
    terminal.tmux(&["send-keys", "-l", "ck.command_code == 0x1406"]);
    terminal.keys(&["Enter"]);
    terminal.shows("2 of 13 messages");
    terminal.tmux(&["resize-window", "-x", "120", "-y", "40"]);
    terminal.until("the whole new width", |screen| {
        screen.lines().next().is_some_and(|tabs| tabs.contains("4 Connections"))
    });
    terminal.tmux(&["resize-window", "-x", "20", "-y", "5"]);
    terminal.shows("too small");
    terminal.tmux(&["resize-window", "-x", "80", "-y", "24"]);
    terminal.shows("2 of 13 messages");
    terminal.keys(&["Q"]);
    terminal.is_given_back(0);
}

#[test]
fn packets_are_saved_with_their_tls_secrets_where_these_are_asked_for() {
    let Some(terminal) = Terminal::new("secrets", (120, 24)) else { return };
    let folder = tempfile::tempdir().expect("a temporary directory");
    terminal.run(&ckscope(&sample("all-procedures-tls13.pcapng")));
    terminal.shows("8 procedures, 17 messages");
    let save = |typed: &str, name: &str, said: &str| {
        let path = folder.path().join(name);
        terminal.keys(&["w"]);
        terminal.tmux(&["send-keys", "-l", "--", &format!("{typed}{}", path.display())]);
        terminal.keys(&["Enter"]);
        // A long line is broken somewhere.
        let said: String = said.split_whitespace().collect();
        terminal.until(&said, |screen| screen.split_whitespace().collect::<String>().contains(&said));
        path
    };
    let with = save("--secrets ", "with.pcapng", "17 messages, with TLS secrets");
    let without = save("", "without.pcapng", "17 messages, without TLS secrets");
    let refused = save("--secrets ", "none.csv", "--secrets goes with .pcapng");
    terminal.keys(&["Q"]);
    terminal.is_given_back(0);
    assert!(!refused.exists());
    let logs = |path: &Path| Reader::open(&[path.to_owned()]).0.key_logs_ahead().len();
    assert_eq!((logs(&with), logs(&without)), (1, 0));
    let mode = |path: &Path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o77;
    assert_eq!(mode(&with), 0, "nobody else can read it");
    let read = Command::new(env!("CARGO_BIN_EXE_ckscope")).arg("read").arg(&with).output().expect("the binary runs");
    assert_eq!(String::from_utf8_lossy(&read.stdout).lines().count(), 17);
}

#[test]
fn an_error_at_the_start_leaves_the_terminal_as_it_was() {
    let Some(terminal) = Terminal::new("error", (80, 24)) else { return };
    terminal.run(&ckscope("tui no-such-file.pcapng"));
    terminal.shows("no capture could be opened");
    terminal.is_given_back(2);
}

#[test]
fn a_signal_gives_the_terminal_back_and_is_told_by_the_exit_status() {
    for (signal, status) in [("-TERM", 143), ("-HUP", 129), ("-INT", 130)] {
        let Some(terminal) = Terminal::new(&format!("signal{status}"), (80, 24)) else { return };
        // A command of several parts is run by a shell that stays between the test's and the binary.
        terminal.run(&format!("({}; echo ended with $?)", ckscope(&sample("failures.pcapng"))));
        terminal.shows("6 procedures, 13 messages");
        let shell = terminal.tmux(&["display-message", "-p", "#{pane_pid}"]);
        let children = |of: &str| {
            let found = Command::new("pgrep").args(["-P", of.trim()]).output().expect("pgrep runs");
            String::from_utf8(found.stdout).expect("numbers")
        };
        let binary = children(&children(&shell));
        assert!(Command::new("kill").args([signal, binary.trim()]).status().unwrap().success(), "{binary:?}");
        terminal.shows(&format!("ended with {status}"));
        terminal.is_given_back(0);
    }
}

/// What [`a_panic_gives_the_terminal_back`] runs on its terminal: an interface whose source panics once it was drawn.
#[test]
#[ignore = "takes over the terminal; another test runs it"]
fn an_interface_that_panics() {
    struct Panics(Still, AtomicU32);
    impl Feed for Panics {
        fn with(&self, look: &mut dyn FnMut(View<'_>)) {
            assert!(self.1.fetch_add(1, Ordering::Relaxed) < 20, "on purpose");
            self.0.with(look);
        }
        fn status(&self) -> Status {
            self.0.status()
        }
        fn cancel(&self) {}
    }
    let analyzer = Analyzer::new(Options::new(Arc::new(Definitions::q4164())));
    let journal = analyzer.into_journal();
    let feed = Panics(Still { journal, blocks: Vec::new() }, AtomicU32::new(0));
    let _ = ckscope::tui::terminal::run(&feed, Setup::default(), &Arc::new(AtomicBool::new(false)));
}

#[test]
fn a_panic_gives_the_terminal_back() {
    let Some(terminal) = Terminal::new("panic", (80, 24)) else { return };
    let binary = std::env::current_exe().expect("tests know their binary");
    let alone = "--ignored --exact --nocapture --test-threads 1 an_interface_that_panics";
    terminal.run(&format!("RUST_BACKTRACE=0 {} {alone}", binary.display()));
    terminal.shows("1 Proc");
    let screen = terminal.shows("on purpose");
    assert!(!screen.contains("1 Proc"), "the message stands on the terminal's own screen: {screen}");
    terminal.is_given_back(101);
}

#[test]
fn the_demo_is_followed_live_and_its_tour_can_be_left() {
    let Some(terminal) = Terminal::new("demo", (80, 24)) else { return };
    terminal.run(&ckscope("demo"));
    terminal.shows("Tour 1/5");
    terminal.shows("key-relay-distributed");
    terminal.shows("following");
    terminal.keys(&["t"]);
    terminal.shows("Tour 2/5");
    terminal.keys(&["X"]);
    terminal.until("no hint", |screen| !screen.contains("Tour"));
    terminal.keys(&["7"]);
    terminal.shows("Proxy of the demo");
    terminal.keys(&["Q"]);
    terminal.is_given_back(0);
}
