//! Protobuf schemas and what messages say by them: names, values, and what departs from the schema.

mod support;

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use ckscope::dissect::{CommandCode, Decoded, Definitions, Encoding, Payload, SchemaId};
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, Value};
use support::Files;

const VENDOR: &str = r#"
syntax = "proto3";
package acme;
import "google/protobuf/empty.proto";
message KeyRelayRequest {
  enum Urgency { NORMAL = 0; HIGH = 1; }
  message Site { string city = 1; repeated int32 floors = 2; }
  bytes token = 9;
  string end_km = 7;
  string start_km = 8;
  string keyrelayrequest_id = 1;
  Urgency urgency = 2;
  Site site = 3;
  map<string, int32> limits = 4;
  repeated int64 counts = 5;
  oneof way { string kma_id = 6; int64 hops = 10; }
  sint32 offset = 11;
  fixed64 stamp = 12;
  double rate = 13;
}
message Unknown { string x = 1; }
service Ck {
  rpc Relay(KeyRelayRequest) returns (Unknown);
  rpc Other(Unknown) returns (google.protobuf.Empty);
}
"#;

fn pool(source: &str) -> DescriptorPool {
    let files = Files::new();
    let path = files.write("vendor.proto", source.as_bytes());
    let mut compiler = protox::Compiler::new([path.parent().unwrap()]).unwrap();
    compiler.include_imports(true).open_file("vendor.proto").unwrap();
    compiler.descriptor_pool()
}

struct Vendor {
    definitions: Arc<Definitions>,
    relay: MessageDescriptor,
    schema: SchemaId,
}

fn vendor() -> Vendor {
    let pool = pool(VENDOR);
    let relay = pool.get_message_by_name("acme.KeyRelayRequest").unwrap();
    let mut definitions = Definitions::q4164();
    definitions.add_schemas(pool);
    let schema = definitions.schemas().method("/acme.Ck/Relay").unwrap().input.unwrap();
    Vendor { definitions: Arc::new(definitions), relay, schema }
}

impl Vendor {
    fn json(&self, bytes: &[u8]) -> (serde_json::Value, Option<String>) {
        let mut text = String::new();
        let problem = self.definitions.schemas().to_json(self.schema, bytes, &mut text);
        (serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")), problem)
    }

    fn decoded(&self, bytes: &[u8]) -> Decoded {
        let payload = Payload { bytes, encoding: Encoding::Protobuf(self.schema), truncated: false };
        Decoded::new(&self.definitions, CommandCode(0x4104), payload)
    }
}

/// A message by field names, encoded by the protobuf library.
fn encoded(descriptor: &MessageDescriptor, fields: &[(&str, Value)]) -> Vec<u8> {
    use prost::Message as _;
    let mut message = DynamicMessage::new(descriptor.clone());
    fields.iter().for_each(|(name, value)| message.set_field_by_name(name, value.clone()));
    message.encode_to_vec()
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

#[test]
fn messages_are_matched_by_name_whatever_package_and_numbers_they_have() {
    let vendor = vendor();
    assert_eq!(vendor.definitions.schemas().code(vendor.schema), CommandCode(0x4104));
    let method = vendor.definitions.schemas().method("/acme.Ck/Relay").unwrap();
    assert_eq!(method.output, None);
    assert!(vendor.definitions.schemas().method("/acme.Ck/Other").unwrap().input.is_none());
    assert!(vendor.definitions.schemas().method("/acme.Ck/None").is_none());
    assert!(vendor.definitions.schemas().method("/qkdn.ck.v1.CkInterface/KeyRelay").unwrap().output.is_some());
}

#[test]
fn a_vendors_package_of_the_same_name_wins() {
    let source = "syntax = \"proto3\"; package qkdn.ck.v1; message KeyRelayRequest { string end_km = 9; } \
                  service CkInterface { rpc KeyRelay(KeyRelayRequest) returns (KeyRelayRequest); }";
    let mut definitions = Definitions::q4164();
    definitions.add_schemas(pool(source));
    let input = definitions.schemas().method("/qkdn.ck.v1.CkInterface/KeyRelay").unwrap().input.unwrap();
    let mut json = String::new();
    assert_eq!(definitions.schemas().to_json(input, b"\x4a\x02K4", &mut json), None);
    assert_eq!(json, r#"{"end_km":"K4"}"#);
}

#[test]
fn every_kind_of_field_has_a_value() {
    let vendor = vendor();
    let site = vendor.relay.get_field_by_name("site").unwrap();
    let site = site.kind().as_message().unwrap().clone();
    let mut place = DynamicMessage::new(site);
    place.set_field_by_name("city", text("Geneva"));
    place.set_field_by_name("floors", Value::List(vec![Value::I32(-1), Value::I32(2)]));
    let limits = [("a".to_owned(), Value::I32(1))];
    let bytes = encoded(
        &vendor.relay,
        &[
            ("start_km", text("KMA-1")),
            ("end_km", text("KMA-4")),
            ("keyrelayrequest_id", text("KRR-1")),
            ("urgency", Value::EnumNumber(1)),
            ("site", Value::Message(place)),
            (
                "limits",
                Value::Map(
                    limits.into_iter().map(|(key, value)| (prost_reflect::MapKey::String(key), value)).collect(),
                ),
            ),
            ("counts", Value::List(vec![Value::I64(-1), Value::I64(i64::MAX)])),
            ("hops", Value::I64(1 << 60)),
            ("offset", Value::I32(-3)),
            ("stamp", Value::U64(u64::MAX)),
            ("rate", Value::F64(0.5)),
            ("token", Value::Bytes(vec![0, 255].into())),
        ],
    );
    let expected = serde_json::json!({
        "start_km": "KMA-1", "end_km": "KMA-4", "keyrelayrequest_id": "KRR-1", "urgency": "HIGH",
        "site": {"city": "Geneva", "floors": [-1, 2]}, "limits": {"a": 1}, "counts": [-1, i64::MAX], "hops": 1i64 << 60,
        "offset": -3, "stamp": u64::MAX, "rate": 0.5, "token": "AP8=",
    });
    assert_eq!(vendor.json(&bytes), (expected, None));
}

#[test]
fn lists_are_read_packed_and_one_by_one() {
    let vendor = vendor();
    let expected = serde_json::json!({"counts": [1, 2, 3]});
    for bytes in [&b"\x2a\x03\x01\x02\x03"[..], b"\x28\x01\x28\x02\x28\x03", b"\x28\x01\x2a\x02\x02\x03"] {
        assert_eq!(vendor.json(bytes), (expected.clone(), None), "{bytes:02x?}");
    }
    // Of a field that is no list, the last one counts.
    assert_eq!(vendor.json(b"\x3a\x01a\x3a\x01b").0, serde_json::json!({"end_km": "b"}));
    let urgency = vendor.json(b"\x10\x07");
    assert_eq!(urgency, (serde_json::json!({"urgency": 7}), None), "a number that has no name stays a number");
}

#[test]
fn fields_that_no_schema_names_are_unknown_parameters() {
    let vendor = vendor();
    let bytes =
        [&encoded(&vendor.relay, &[("start_km", text("K1"))])[..], b"\xa2\x06\x02hi\xa8\x06\x05\xa2\x06\x01\xff"]
            .concat();
    let (json, problem) = vendor.json(&bytes);
    assert_eq!(problem, None);
    assert_eq!(json, serde_json::json!({"start_km": "K1", "field_100": ["hi", "ff"], "field_101": 5}));
}

#[test]
fn what_is_no_protobuf_is_told_and_the_rest_is_read() {
    let vendor = vendor();
    let whole = encoded(&vendor.relay, &[("keyrelayrequest_id", text("KRR-1")), ("end_km", text("KMA-4"))]);
    for end in 1..whole.len() {
        let (json, problem) = vendor.json(&whole[..end]);
        if end == 7 {
            assert_eq!((json, problem), (serde_json::json!({"keyrelayrequest_id": "KRR-1"}), None));
        } else {
            let from = if end < 7 { 0 } else { 7 };
            assert_eq!(problem.unwrap(), format!("payload is no protobuf from byte {from} on"), "{end}");
        }
    }
    // Wire types and contents other than the schema's.
    for (bytes, problem) in [
        (&b"\x38\x05"[..], "field end_km is not encoded as its schema says"),
        (b"\x3a\x01\xff", "field end_km is not UTF-8"),
        (b"\x1a\x02\xff\xff", "field site is not encoded as its schema says"),
        (b"\x3f", "payload is no protobuf from byte 0 on"),
        (b"\x00\x01", "payload is no protobuf from byte 0 on"),
    ] {
        assert_eq!(vendor.json(bytes).1.as_deref(), Some(problem), "{bytes:02x?}");
    }
    let codes: Vec<_> = vendor.decoded(b"\x3f").diagnostics.iter().map(|found| found.code.name()).collect();
    assert!(codes.contains(&"malformed-json"), "{codes:?}");
}

#[test]
fn a_message_without_a_path_is_named_if_only_one_kind_fits() {
    let definitions = Definitions::q4164();
    let code = |bytes: &[u8]| definitions.schemas().guess(bytes).map(|schema| definitions.schemas().code(schema));
    // Four strings: a relay request alone has them.
    assert_eq!(code(b"\x0a\x02K1\x12\x02K4\x1a\x02K2\x22\x01R"), Some(CommandCode(0x4104)));
    // Two: several have.
    assert_eq!(code(b"\x0a\x02K1\x12\x02K4"), None);
    assert_eq!(code(b""), None);
    assert_eq!(code(b"no protobuf"), None);
}

#[test]
fn a_message_without_a_path_is_read_by_the_schema_given() {
    let source = "syntax = \"proto3\"; package acme; message KeyRelayRequest { string end_km = 1; string start_km = 2; \
                  string keyrelayrequest_id = 3; string kma_id = 4; }";
    let mut definitions = Definitions::q4164();
    definitions.add_schemas(pool(source));
    let bytes = b"\x0a\x02K4\x12\x02K1\x1a\x01R\x22\x02K2";
    let named = definitions.schemas().guess(bytes).unwrap();
    let mut json = String::new();
    assert_eq!(definitions.schemas().to_json(named, bytes, &mut json), None);
    assert_eq!(json, r#"{"end_km":"K4","start_km":"K1","keyrelayrequest_id":"R","kma_id":"K2"}"#);
    // Two that were given disagree.
    definitions.add_schemas(pool(&source.replace("acme", "other").replace("end_km", "destination_km")));
    assert_eq!(definitions.schemas().guess(bytes), None);
}

fn ckscope(schema: &Path, includes: &[&Path]) -> Output {
    let capture = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures/appendix-ii-grpc.pcapng");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ckscope"));
    command.args(["read", "--format", "jsonl", "--proto"]).arg(schema);
    for folder in includes {
        command.arg("--proto-path").arg(folder);
    }
    command.arg(capture).output().unwrap()
}

#[test]
fn a_fault_in_a_schema_is_told_with_its_place() {
    for (source, place) in [
        ("syntax = \"proto3\";\nmessage X {\n  string a }\n", "vendor.proto:3:12: expected '=', but found '}'"),
        ("syntax = \"proto3\";\nmessage X {\n  Foo a = 1;\n}\n", "vendor.proto:3:3: name 'Foo' is not defined"),
        ("syntax = \"proto3\";\nimport \"nix.proto\";\n", "vendor.proto:2:1: import 'nix.proto' not found"),
    ] {
        let files = Files::new();
        let path = files.write("vendor.proto", source.as_bytes());
        let output = ckscope(&path, &[]);
        let expected = format!("{}{}", path.display().to_string().strip_suffix("vendor.proto").unwrap(), place);
        assert_eq!(String::from_utf8(output.stderr).unwrap().trim_end(), format!("ckscope: {expected}"));
        assert!(!output.status.success());
    }
}

#[test]
fn what_a_schema_imports_is_found_beside_it_and_in_the_folders_given() {
    let (files, others) = (Files::new(), Files::new());
    let part = "syntax = \"proto3\"; package part; message Part { string x = 1; }";
    let beside = files.write("part.proto", part.as_bytes());
    let elsewhere = others.write("other.proto", part.replace("package part", "package other").as_bytes());
    assert!(beside.exists());
    let source = "syntax = \"proto3\"; import \"part.proto\"; import \"other.proto\"; message M { part.Part a = 1; other.Part b = 2; }";
    let path = files.write("vendor.proto", source.as_bytes());
    let output = ckscope(&path, &[elsewhere.parent().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!ckscope(&path, &[]).status.success());
    // A broken import is named itself.
    others.write("other.proto", b"syntax = \"proto3\";\nmessage {");
    let errors = String::from_utf8(ckscope(&path, &[elsewhere.parent().unwrap()]).stderr).unwrap();
    assert!(errors.starts_with("ckscope: other.proto:2:9: "), "{errors}");
}
