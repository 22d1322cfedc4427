//! Statistics against what `read` and `flows` list, counted here once more.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

fn lines(arguments: &str) -> Vec<Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_ckscope"))
        .args(arguments.split(' '))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("the binary runs");
    assert_ne!(output.status.code(), Some(2), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

const CAPTURES: [&str; 4] = ["all-procedures", "failures", "unanswered", "out-of-order-answers"];

#[test]
fn messages_are_counted_as_read_lists_them() {
    for capture in CAPTURES {
        let mut expected: BTreeMap<(String, String), u64> = BTreeMap::new();
        for message in lines(&format!("read --format jsonl captures/{capture}.pcapng")) {
            let key = |name: &str| message[name].as_str().unwrap().to_owned();
            *expected.entry((key("command_code"), key("direction"))).or_default() += 1;
        }
        let counted = lines(&format!("stats --table messages --format jsonl captures/{capture}.pcapng"));
        let counted: BTreeMap<_, _> = counted
            .iter()
            .map(|row| {
                let key = |name: &str| row[name].as_str().unwrap().to_owned();
                ((key("command_code"), key("direction")), row["count"].as_u64().unwrap())
            })
            .collect();
        assert_eq!(counted, expected, "{capture}");
        let over_time = lines(&format!("stats --table over-time --format jsonl captures/{capture}.pcapng"));
        let sum: u64 = over_time.iter().map(|row| row["messages"].as_u64().unwrap()).sum();
        assert_eq!(sum, expected.values().sum::<u64>(), "{capture}");
    }
}

#[test]
fn states_and_durations_are_those_of_flows() {
    for capture in CAPTURES {
        let (mut states, mut durations) = (BTreeMap::new(), BTreeMap::<String, Vec<f64>>::new());
        for procedure in lines(&format!("flows --format jsonl captures/{capture}.pcapng")) {
            let (name, state) = (procedure["procedure"].as_str().unwrap(), procedure["state"].as_str().unwrap());
            *states.entry((name.to_owned(), state.to_owned())).or_insert(0) += 1;
            if matches!(state, "complete" | "failed") && procedure["messages"].as_array().unwrap().len() > 1 {
                durations.entry(name.to_owned()).or_default().push(procedure["duration_ms"].as_f64().unwrap());
            }
        }
        for row in lines(&format!("stats --table procedures --format jsonl captures/{capture}.pcapng")) {
            for state in ["complete", "failed", "pending", "unanswered"] {
                let key = (row["procedure"].as_str().unwrap().to_owned(), state.to_owned());
                assert_eq!(row[state].as_u64(), Some(states.remove(&key).unwrap_or(0)), "{capture} {key:?}");
            }
        }
        assert!(states.is_empty(), "{capture}: not counted: {states:?}");
        for row in lines(&format!("stats --table procedure-times --format jsonl captures/{capture}.pcapng")) {
            let mut own = durations.remove(row["procedure"].as_str().unwrap()).expect("a procedure of flows");
            own.sort_by(f64::total_cmp);
            let rank = |percent: f64| own[((percent / 100.0 * own.len() as f64).ceil() as usize).max(1) - 1];
            assert_eq!(row["count"].as_u64(), Some(own.len() as u64));
            for (name, value) in [("min_ms", own[0]), ("median_ms", rank(50.0)), ("p90_ms", rank(90.0))] {
                assert_eq!(row[name].as_f64(), Some(value), "{capture} {name}");
            }
            assert_eq!(row["max_ms"].as_f64(), own.last().copied());
        }
        assert!(durations.is_empty(), "{capture}: not counted: {durations:?}");
    }
}

#[test]
fn groups_add_up_to_the_whole() {
    for table in ["messages", "procedures", "response-times", "procedure-times"] {
        let sum = |suffix: &str| -> u64 {
            let rows = lines(&format!("stats --table {table}{suffix} --format jsonl captures/all-procedures.pcapng"));
            rows.iter().map(|row| row["count"].as_u64().unwrap()).sum()
        };
        for suffix in ["-by-km", "-by-pair", "-by-connection"] {
            assert_eq!(sum(suffix), sum(""), "{table}{suffix}");
        }
        assert!(sum("") > 0, "{table}");
    }
}

#[test]
fn keys_are_matched_by_their_ids() {
    let rows = lines("stats --table keys,key-mismatches --format jsonl captures/reserve-allocate.pcapng");
    let keys = &rows[0];
    assert_eq!((keys["reserved"].as_u64(), keys["allocated"].as_u64()), (Some(3), Some(3)), "{keys}");
    assert_eq!(rows.len(), 1, "every key that was reserved was allocated: {rows:?}");
    let halves = lines(
        "stats --table key-mismatches -Y ck.procedure==\"key-reservation\" --format jsonl captures/reserve-allocate.pcapng",
    );
    assert_eq!(halves.len(), 3, "{halves:?}");
    assert!(halves.iter().all(|row| row["what"] == "reserved, never allocated"));
}

#[test]
fn too_many_intervals_are_an_error() {
    let output = Command::new(env!("CARGO_BIN_EXE_ckscope"))
        .args(["stats", "--interval", "1us", "captures/unanswered.pcapng"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("the binary runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("choose a longer one"));
}
