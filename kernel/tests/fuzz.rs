//! The checks of `fuzz/` on inputs that a fixed seed makes from good ones: pieces repeated, cut,
//! mixed and damaged. The fuzzer itself looks for ten minutes each, and by what code is reached.

#![allow(dead_code, reason = "a part of each module is used")]

#[path = "../fuzz/src/lib.rs"]
mod checks;

use checks::{engine, syntax};

/// How many inputs each check gets.
const ROUNDS: usize = 3000;

#[test]
fn jupyters_frames() {
    let seeds = [
        "client\n<IDS|MSG>\n\n{\"msg_id\":\"1\",\"session\":\"s\",\"username\":\"u\",\"date\":\"2026-01-01T00:00:00Z\",\"msg_type\":\"execute_request\",\"version\":\"5.3\"}\n{}\n{}\n{\"code\":\"1+1\"}\nbuffer",
        "<IDS|MSG>\n\n{\"msg_id\":\"2\",\"session\":\"s\",\"username\":\"\",\"date\":\"2026-01-01T00:00:00Z\",\"msg_type\":\"history_request\",\"version\":\"5.3\"}\n{}\n{}\n{\"hist_access_type\":\"tail\",\"n\":null}",
        "<IDS|MSG>\n\n{\"msg_id\":\"3\",\"session\":\"s\",\"username\":\"\",\"date\":\"2026-01-01T00:00:00Z\",\"msg_type\":\"inspect_request\",\"version\":\"5.3\"}\n{}\n{}\n{\"code\":\"x\",\"cursor_pos\":1,\"detail_level\":0}",
    ];
    mutations(&seeds.map(str::as_bytes), checks::jupyter);
}

#[test]
fn the_display_channel() {
    let frame = |json: &str| {
        let mut bytes = vec![3];
        bytes.extend((json.len() as u32).to_le_bytes());
        bytes.extend(json.bytes());
        bytes
    };
    let seeds = [
        r#"{"op":"display","data":{"text/plain":"a é"},"display_id":null,"wait":false}"#,
        r#"{"op":"update","data":{"image/svg+xml":"<svg/>"},"display_id":"loss","wait":false}"#,
        r#"{"op":"end","id":3,"threads":1,"status":"panic","message":"no","file":"f","line":1,"column":2}"#,
        r#"{"op":"died","status":6,"kept":true,"pid":7,"cell":3}"#,
        r#"{"op":"at","out":12,"err":0}"#,
    ]
    .map(frame);
    mutations(&seeds.each_ref().map(Vec::as_slice), checks::display);
}

#[test]
fn cells() {
    let seeds = [
        "let x = 1; let (mut a, b) = (x, \"ü\");\0x + 1",
        "struct A<T>(T);\nimpl<T> A<T> { fn f(&self) {} const N: u8 = 1; }\0impl<T> A<T> { fn f(&self) { g!() } }",
        "use a::{b, c as _, d::*};\nstatic N: u8 = 1; // note\n/* a */ let f = |y: i32| y?;",
        "macro_rules! m { ($x:expr) => { $x } }\n#[derive(Debug)] enum E { A, B(u8) }\nm!({ E::A }).await",
    ];
    mutations(&seeds.map(str::as_bytes), checks::cells);
}

/// Runs `check` on seeds and on what a fixed sequence of changes makes of them.
fn mutations(seeds: &[&[u8]], check: fn(&[u8])) {
    seeds.iter().for_each(|seed| check(seed));
    let mut state = 88_172_645_463_325_252_u64;
    let mut random = |below: usize| {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below.max(1) as u64) as usize
    };
    for _ in 0..ROUNDS {
        let mut data = seeds[random(seeds.len())].to_vec();
        for _ in 0..=random(4) {
            let (from, to) = (random(data.len()), random(data.len()));
            let piece = from.min(to)..from.max(to);
            match random(5) {
                0 => drop(data.drain(piece)),
                1 => drop(data.splice(from..from, seeds[random(seeds.len())].to_vec())),
                2 => drop(data.splice(to..to, data[piece].to_vec())),
                3 if !data.is_empty() => data[from] = random(256) as u8,
                _ if !data.is_empty() => data[from] ^= 1 << random(8),
                _ => {}
            }
        }
        check(&data);
    }
}
