//! What makes no sense, over RESP: a typed answer or a closed connection, bounded memory, and nothing written.

use std::time::Duration;

use quoit_gateway::Limits;
use quoit_local::ClusterSettings;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::support::{SOON, Served, exchange, settings};

#[tokio::test]
async fn bytes_that_are_no_command_get_an_error_and_the_connection_is_closed() {
    let served = Served::start().await;
    let nested = b"*1\r\n".repeat(100_000);
    let line = vec![b'x'; 100_000];
    let many = [b"*16385\r\n".to_vec(), b"$1\r\nk\r\n".repeat(100)].concat();
    let table: [(&[u8], &str); 11] = [
        (
            b"*1\r\n$9223372036854775808\r\n",
            "-ERR Protocol error: invalid bulk length",
        ),
        (
            b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$9223372036854775807\r\n",
            "-ERR Protocol error: invalid bulk",
        ),
        (b"*1\r\n$-5\r\n", "-ERR Protocol error: invalid bulk length"),
        (
            b"*9223372036854775808\r\n",
            "-ERR Protocol error: invalid multibulk",
        ),
        (&many, "-ERR Protocol error: invalid multibulk"),
        (&nested, "-ERR Protocol error: expected '$'"),
        (&line, "-ERR Protocol error: a line has more"),
        (b"SET k \"v\r\n", "-ERR Protocol error: unbalanced quotes"),
        (
            b"POST / HTTP/1.1\r\nSET k v\r\n",
            "-ERR this port speaks RESP",
        ),
        (b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nhalf", ""),
        (b"SET k v", ""),
    ];
    for (bytes, expected) in table {
        let reply = served.resp_raw(bytes).await;
        let shown = bytes.get(..40).unwrap_or(bytes).escape_ascii();
        assert!(reply.starts_with(expected), "{shown}: {reply}");
        assert_eq!(
            reply.matches('|').count(),
            usize::from(!expected.is_empty()),
            "{reply}"
        );
    }
    assert!(served.client.get("k").await.unwrap().is_absent());
    served.stop().await;
}

#[tokio::test]
async fn commands_that_make_no_sense_are_refused_and_the_connection_goes_on() {
    let served = Served::start().await;
    let long = format!("SET {} v\r\n", "k".repeat(32_769));
    let script = [
        &b"GET\r\nSET k\r\nMSET a 1 b\r\nSET k v EX 0\r\nSET k v EX -1\r\nSET k v EX 1.5\r\nSET k v EX 9223372036854775807\r\nSET \"\" v\r\n"[..],
        long.as_bytes(),
        b"EXISTS k a\r\n",
    ]
    .concat();
    let replies = served.resp_raw(&script).await;
    let parts: Vec<&str> = replies.split_terminator('|').collect();
    for (part, expected) in parts.iter().zip([
        "-ERR wrong number",
        "-ERR wrong number",
        "-ERR wrong number",
        "-ERR invalid expire",
        "-ERR invalid expire",
        "-ERR value is not an integer",
        "-ERR invalid expire",
        "-ERR the key is empty",
        "-ERR the key has 32769 bytes",
        ":0",
    ]) {
        assert!(part.starts_with(expected), "{part}");
    }
    assert_eq!(parts.len(), 10);
    assert!(parts[8].contains("applied: no"));
    served.stop().await;
}

#[tokio::test]
async fn a_peer_that_never_reads_is_closed_and_holds_no_more_than_its_bound() {
    let mut settings = settings();
    settings.limits = Limits {
        transfer: Duration::from_millis(500),
        ..Limits::default()
    };
    let served = Served::with(settings, |builder| builder, &ClusterSettings::for_tests(3)).await;
    served.client.put("k", vec![b'v'; 500_000]).await.unwrap();

    let mut socket = TcpStream::connect(served.resp()).await.unwrap();
    let script = b"GET k\r\n".repeat(100_000);
    // The gateway stops reading, so it may be that not all of this can be sent. Either way nobody takes an answer.
    let sent = tokio::time::timeout(Duration::from_secs(2), socket.write_all(&script)).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    // It has closed meanwhile: what is left in the system's buffers is no small part of 50 GB.
    let mut rest = Vec::new();
    let _end = tokio::time::timeout(SOON, socket.read_to_end(&mut rest))
        .await
        .unwrap();
    assert!(rest.len() < 64 << 20, "{} bytes, {sent:?}", rest.len());
    assert_eq!(served.resp_raw(b"PING\r\n").await, "+PONG|");
    served.stop().await;
}

#[tokio::test]
async fn half_a_command_is_not_waited_for_and_memory_is_not_promised_twice() {
    let mut settings = settings();
    settings.limits = Limits {
        transfer: Duration::from_millis(400),
        memory_bytes: 8 << 20,
        ..Limits::default()
    };
    let served = Served::with(settings, |builder| builder, &ClusterSettings::for_tests(3)).await;
    let half = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1048576\r\nv";
    let mut sockets = Vec::new();
    for _ in 0..7 {
        let mut socket = TcpStream::connect(served.resp()).await.unwrap();
        socket.write_all(half).await.unwrap();
        sockets.push(socket);
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let refused = exchange(served.resp(), half).await;
    assert!(
        refused.starts_with(b"-BUSY the gateway holds"),
        "{}",
        refused.escape_ascii()
    );
    for mut socket in sockets {
        let mut rest = Vec::new();
        tokio::time::timeout(SOON, socket.read_to_end(&mut rest))
            .await
            .unwrap()
            .ok();
        assert!(rest.is_empty(), "{}", rest.escape_ascii());
    }
    let whole = [half, &[b'v'; (1 << 20) - 1][..], b"\r\nSTRLEN k\r\n"].concat();
    assert_eq!(
        exchange(served.resp(), &whole).await,
        b"+OK\r\n:1048576\r\n"
    );
    served.stop().await;
}
