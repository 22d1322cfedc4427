//! Defaults of options: what is typed goes before the environment, that before the configuration file.

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::Files;

const CAPTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/captures/session.pcapng");

struct Place(Files);

impl Place {
    fn with(config: &str) -> Self {
        let files = Files::new();
        files.write("ckscope.toml", config.as_bytes());
        Self(files)
    }

    fn config(&self) -> PathBuf {
        self.0.path().join("ckscope.toml")
    }

    fn run(&self, words: &[&str], environment: &[(&str, &str)]) -> Output {
        let mut ckscope = Command::new(env!("CARGO_BIN_EXE_ckscope"));
        ckscope.args(words).env("CKSCOPE_CONFIG", self.config()).envs(environment.iter().copied());
        ckscope.output().expect("the binary runs")
    }

    fn first_line(&self, words: &[&str], environment: &[(&str, &str)]) -> String {
        let output = self.run(words, environment);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().next().unwrap_or_default().to_owned()
    }

    fn refused(&self, words: &[&str]) -> String {
        let output = self.run(words, &[]);
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap().replace(&self.config().display().to_string(), "FILE")
    }
}

#[test]
fn what_is_typed_goes_before_the_environment_and_that_before_the_file() {
    let place = Place::with("[options]\nfields = [\"number\", \"packet\"]\n[options.stats]\nformat = \"csv\"\n");
    let read = ["read", CAPTURE];
    assert_eq!(place.first_line(&read, &[]), "1\t7");
    assert_eq!(place.first_line(&read, &[("CKSCOPE_FIELDS", "packet,number")]), "7\t1");
    let typed = ["read", CAPTURE, "--fields", "number"];
    assert_eq!(place.first_line(&typed, &[("CKSCOPE_FIELDS", "packet,number")]), "1");
    assert!(place.first_line(&["stats", CAPTURE], &[]).contains(','));
}

#[test]
fn what_is_for_one_command_goes_before_what_is_for_all_and_leaves_others_alone() {
    let place = Place::with("[options]\nformat = \"jsonl\"\n[options.read]\nformat = \"csv\"\nfields = \"number\"\n");
    assert_eq!(place.first_line(&["read", CAPTURE], &[]), "number");
    assert!(place.first_line(&["flows", CAPTURE], &[]).starts_with('{'));
}

#[test]
fn flags_and_options_that_must_be_typed_have_defaults_too() {
    let place = Place::with("[options]\nverbose = true\n[options.follow]\nconnection = 1\nside = \"initiator\"\n");
    let output = place.run(&["read", CAPTURE], &[]);
    assert!(String::from_utf8(output.stdout).unwrap().contains("Application source ID"));
    assert!(place.run(&["follow", CAPTURE], &[]).status.success());
    assert!(place.run(&["follow", CAPTURE], &[("CKSCOPE_HEX", "yes")]).stdout.starts_with(b"0000"));
}

#[test]
fn a_capture_alone_is_read_with_the_same_defaults() {
    let place = Place::with("[options]\nfields = \"number\"\n");
    assert_eq!(place.first_line(&[CAPTURE], &[]), "1");
    assert_eq!(place.first_line(&["--color", "always", CAPTURE], &[]), "1");
}

#[test]
fn errors_name_file_line_column_and_key() {
    for (config, expected) in [
        ("[options]\n\ntimeout = \"soon\"", "FILE:3:1: [options] timeout = \"soon\": expected a number of seconds"),
        ("[options]\ncolour = \"never\"", "FILE:2:1: [options] colour: there is no such option"),
        ("[options]\ncolor = \"red\"", "FILE:2:1: [options] color = \"red\": expected one of auto, always, never"),
        ("[options.raed]\ntime = \"utc\"", "FILE:2:1: [options.raed] time: there is no command \"raed\""),
        ("[options.read]\ninterval = \"1s\"", "FILE:2:1: [options.read] interval: there is no such option"),
        ("[options]\ntimeout = [1, 2]", "FILE:2:1: [options] timeout = \"1,2\": expected one value"),
        ("[options]\nverbose = \"perhaps\"", "FILE:2:1: [options] verbose = \"perhaps\": expected true or false"),
        ("options = 1", "FILE:1:11: options: expected a table"),
        ("[options]\ntimeout = = 1", "FILE:2:"),
        ("[option]\ntime = \"utc\"", "FILE:1:2: option: expected one of time, columns, keys, colors, options"),
    ] {
        let said = Place::with(config).refused(&["read", CAPTURE]);
        assert!(said.contains(expected), "{config}: {said}");
    }
}

#[test]
fn what_is_for_all_commands_changes_those_that_take_it() {
    for (config, variables) in [("[options]\nformat = \"csv\"", None), ("", Some(("CKSCOPE_FORMAT", "csv")))] {
        let (place, environment) = (Place::with(config), variables.as_slice());
        assert!(place.first_line(&["read", CAPTURE], environment).starts_with("number,"), "read takes csv");
        assert!(!place.first_line(&["flows", CAPTURE], environment).contains(','), "flows has none");
        assert!(place.first_line(&["read", "--format", "jsonl", CAPTURE], environment).starts_with('{'));
    }
    let place = Place::with("[options]\nverbose = true");
    assert!(
        place.run(&["read", CAPTURE], &[("CKSCOPE_VERBOSE", "no")]).stdout.len()
            < place.run(&["read", CAPTURE], &[]).stdout.len()
    );
}

#[test]
fn a_variable_that_no_command_knows_is_said() {
    let place = Place::with("");
    let output = place.run(&["read", CAPTURE], &[("CKSCOPE_TIMOUT", "1")]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.contains("CKSCOPE_TIMOUT: no command has this option"), "{said}");
}

#[test]
fn a_file_that_is_named_must_be_there_and_an_empty_name_is_none() {
    let place = Place::with("[options]\nfields = \"number\"\n");
    let missing = place.run(&["read", "--config", "/no/such/file.toml", CAPTURE], &[]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(String::from_utf8(missing.stderr).unwrap().contains("/no/such/file.toml"));
    assert_ne!(place.first_line(&["read", CAPTURE], &[("CKSCOPE_CONFIG", "")]), "1");
}

#[test]
fn the_shipped_file_changes_nothing() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tui/ckscope.toml");
    let place = Place::with(&std::fs::read_to_string(sample).unwrap());
    let without = place.run(&["read", CAPTURE], &[("CKSCOPE_CONFIG", "")]);
    assert_eq!(place.run(&["read", CAPTURE], &[]), without);
}
