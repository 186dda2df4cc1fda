//! The commands, as they are meant to be used.

use quoit_client::Context;

use super::support::Served;

#[tokio::test]
async fn values_are_set_read_counted_and_deleted() {
    let served = Served::start().await;
    let script = b"SET k blue\r\nGET k\r\nSTRLEN k\r\nTYPE k\r\nTTL k\r\nEXISTS k k none\r\n\
        MSET a 1 b 2\r\nMGET a none b\r\nDEL a b none\r\nMGET a b\r\nUNLINK k\r\nGET k\r\nTTL k\r\nTYPE k\r\nSTRLEN k\r\n";
    let replies = served.resp_raw(script).await;
    let expected = "+OK|$4|blue|:4|+string|:-1|:2|\
        +OK|*3|$1|1|$-1|$1|2|:2|*2|$-1|$-1|:1|$-1|:-2|+none|:0|";
    assert_eq!(replies, expected);
    served.stop().await;
}

#[tokio::test]
async fn values_live_as_long_as_they_are_set_to() {
    let served = Served::start().await;
    let replies = served
        .resp_raw(b"SET k v EX 100\r\nTTL k\r\nSET k v PX 100000\r\nTTL k\r\nPTTL k\r\nSET k w\r\nTTL k\r\nSET k v EXAT 1\r\nGET k\r\n")
        .await;
    let parts: Vec<&str> = replies.split('|').collect();
    assert_eq!(parts[..4], ["+OK", ":100", "+OK", ":100"], "{replies}");
    let left: u64 = parts[4].trim_start_matches(':').parse().unwrap();
    assert!((98_000..=100_600).contains(&left), "{replies}");
    assert_eq!(parts[5..9], ["+OK", ":-1", "+OK", "$-1"], "{replies}");
    served.stop().await;
}

#[tokio::test]
async fn siblings_resolve_to_the_last_written_and_a_set_replaces_them() {
    let served = Served::start().await;
    for value in ["first", "last"] {
        let nothing = Context::default();
        served
            .client
            .put("k", value)
            .context(&nothing)
            .await
            .unwrap();
    }
    assert_eq!(
        served.resp_raw(b"GET k\r\nSTRLEN k\r\n").await,
        "$4|last|:4|"
    );
    assert_eq!(served.resp_raw(b"SET k merged\r\n").await, "+OK|");
    assert_eq!(served.client.get("k").await.unwrap().siblings().len(), 1);
    served.stop().await;
}

#[tokio::test]
async fn connections_agree_on_a_version_and_have_names() {
    let served = Served::start().await;
    let three = served
        .resp_raw(b"HELLO 3 SETNAME me\r\nCLIENT GETNAME\r\nGET none\r\nHELLO 2\r\nGET none\r\n")
        .await;
    assert!(three.starts_with("%7|$6|server|$5|quoit|"), "{three}");
    assert!(three.contains("$5|proto|:3|"), "{three}");
    assert!(
        three.contains("|$2|me|_|*14|") && three.ends_with("$-1|"),
        "{three}"
    );

    let replies = served
        .resp_raw(b"PING\r\nPING hi\r\nECHO hi\r\nSELECT 0\r\nSELECT 1\r\nHELLO 4\r\nAUTH x\r\nCLIENT SETINFO LIB-NAME x\r\nCLIENT KILL 1\r\nCOMMAND COUNT\r\nQUIT\r\nPING\r\n")
        .await;
    let parts: Vec<&str> = replies.split('|').collect();
    assert_eq!(
        parts[..6],
        ["+PONG", "$2", "hi", "$2", "hi", "+OK"],
        "{replies}"
    );
    assert!(parts[6].starts_with("-ERR DB index"), "{replies}");
    assert!(parts[7].starts_with("-NOPROTO"), "{replies}");
    assert!(parts[8].starts_with("-ERR AUTH called"), "{replies}");
    assert!(
        parts[9] == "+OK" && parts[10].starts_with("-ERR unknown subcommand"),
        "{replies}"
    );
    assert_eq!(
        parts[11..],
        [":36", "+OK", ""],
        "nothing is answered behind QUIT: {replies}"
    );
    let info = served.resp_raw(b"INFO server\r\n").await;
    assert!(info.contains("server:quoit"), "{info}");
    let docs = served
        .resp_raw(b"COMMAND DOCS get\r\nCOMMAND INFO get nope\r\n")
        .await;
    assert!(docs.starts_with("*2|$3|get|*6|$7|summary|"), "{docs}");
    assert!(
        docs.ends_with("*2|*6|$3|get|:2|*2|+readonly|+fast|:1|:1|:1|$-1|"),
        "{docs}"
    );
    served.stop().await;
}

#[tokio::test]
async fn what_is_not_served_is_refused_by_name_and_writes_nothing() {
    let served = Served::start().await;
    let script = b"MSETNX k v\r\nRENAME k l\r\nSETRANGE k 0 v\r\nSET k v IFEQ w\r\nDBSIZE\r\nLPUSH k v\r\nEXISTS k\r\n";
    let replies = served.resp_raw(script).await;
    let parts: Vec<&str> = replies.split_terminator('|').collect();
    for part in &parts[..4] {
        assert!(
            part.starts_with("-ERR '") && part.contains("not served"),
            "{part}"
        );
    }
    assert!(
        parts[4].contains("use SCAN") && parts[5].contains("unknown command"),
        "{replies}"
    );
    assert_eq!(parts[6], ":0");
    served.stop().await;
}

#[tokio::test]
async fn ten_thousand_commands_in_one_piece_are_answered_in_order() {
    let served = Served::start().await;
    let mut script = Vec::new();
    let mut expected = String::new();
    for number in 0..2_500 {
        let key = number % 7;
        script.extend_from_slice(
            format!("SET k{key} {number}\r\nGET k{key}\r\nPING\r\nGET other{number}\r\n")
                .as_bytes(),
        );
        let text = number.to_string();
        expected = format!("{expected}+OK|${}|{text}|+PONG|$-1|", text.len());
    }
    assert_eq!(served.resp_raw(&script).await, expected);
    served.stop().await;
}
