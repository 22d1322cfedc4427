"""Runs the commands of compare.sh in turn and prints medians and ratios."""

import os
import statistics
import subprocess
import sys
import time

ckscope, work, messages, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
few, many = f"{work}/64.pcapng", f"{work}/100000.pcapng"
fields = ["frame.number", "frame.time_epoch", "ip.src", "tcp.srcport", "ip.dst", "tcp.dstport", "tcp.stream",
          "ck.version", "ck.message_id", "ck.command_code", "ck.message", "ck.length", "ck.source_kma_id",
          "ck.destination_kma_id", "ck.application_source_id", "ck.application_destination_id", "ck.session_id",
          "ck.key_relay_request_id", "ck.response"]
tshark = ["tshark", "-r", few, "-X", "lua_script:benches/compare/ck.lua", "-Y", "ck", "-T", "fields"]
tshark += [argument for field in fields for argument in ("-e", field)]
commands = {
    "ckscope flows, 64 connections": [ckscope, "flows", "--format", "jsonl", few],
    "ckscope flows, 100000 connections": [ckscope, "flows", "--format", "jsonl", many],
    "ckscope flows, 64 connections, one thread": [ckscope, "flows", "--format", "jsonl", "--threads", "1", few],
    "wc -l": ["wc", "-l", few],
    "tshark with ck.lua, 64 connections": tshark,
}


def run(command):
    """Wall seconds and peak memory in bytes."""
    with open(os.devnull, "wb") as null:
        started = time.monotonic()
        process = subprocess.Popen(command, stdout=null, stderr=null)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - started
    if status != 0:
        sys.exit(f"{' '.join(command)}: status {status}")
    return seconds, usage.ru_maxrss * 1024


def seen(command):
    """How many messages a command says it saw, so that a fast run is not an empty one."""
    return sum(1 for _ in subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout)


print(f"{messages} messages; files of {os.path.getsize(few):,} and {os.path.getsize(many):,} bytes")
counts = [seen([ckscope, "read", "--format", "jsonl", file]) for file in (few, many)]
if counts != [messages, messages]:
    sys.exit(f"ckscope read saw {counts} messages")
times = {name: [] for name in commands}
peaks = {name: 0 for name in commands}
for round_number in range(rounds + 1):
    for name, command in commands.items():
        if name.startswith("tshark") and round_number > 1:
            continue  # a minute or more each: one warm-up, one counted run
        seconds, peak = run(command)
        if round_number > 0:
            times[name].append(seconds)
            peaks[name] = max(peaks[name], peak)
median = {name: statistics.median(values) for name, values in times.items()}
for name, seconds in median.items():
    print(f"{name:45} {seconds:8.3f} s {messages / seconds:14,.0f} messages/s, peak {peaks[name] / 1e6:8,.1f} MB")
base = median["ckscope flows, 64 connections"]
beyond = peaks["ckscope flows, 64 connections"] - os.path.getsize(few)
print(f"ckscope : tshark = {median['tshark with ck.lua, 64 connections'] / base:.1f} : 1")
print(f"rate at 100000 connections = {base / median['ckscope flows, 100000 connections']:.2f} of that at 64")
print(f"memory beyond the mapped file = {max(beyond, 0) / messages:.0f} bytes/message (peak RSS less the file's size)")
