//! Commands that change a key by what is there, alone and in races.

use futures_util::future::join_all;
use quoit_client::Context;

use super::support::Served;

#[tokio::test]
async fn sets_look_at_what_is_there() {
    let served = Served::start().await;
    let script = b"SET k a XX\r\nSET k a NX\r\nSET k b NX\r\nGET k\r\nSET k c XX\r\nSET k d GET\r\nSET k e NX GET\r\n\
        GETSET k f\r\nSETNX k g\r\nSETNX n 1\r\nSET k h XX EX 100\r\nSET k i KEEPTTL\r\nTTL k\r\nGETDEL k\r\nGETDEL k\r\nGET k\r\n\
        SET k j GET\r\nSET k l XX EXAT 1\r\nEXISTS k\r\n";
    let expected =
        "$-1|+OK|$-1|$1|a|+OK|$1|c|$1|d|$1|d|:0|:1|+OK|+OK|:100|$1|i|$-1|$-1|$-1|+OK|:0|";
    assert_eq!(served.resp_raw(script).await, expected);
    served.stop().await;
}

#[tokio::test]
async fn numbers_texts_and_lifetimes_change_in_place() {
    let served = Served::start().await;
    let script = b"INCR n\r\nINCRBY n 41\r\nDECR n\r\nDECRBY n 50\r\nINCRBY n x\r\nSET n x\r\nINCR n\r\nGET n\r\n\
        SET n 9223372036854775807\r\nINCR n\r\nGET n\r\nDECRBY n -9223372036854775808\r\n";
    let no_integer = "-ERR value is not an integer or out of range|";
    let expected = format!(
        ":1|:42|:41|:-9|{no_integer}+OK|{no_integer}$1|x|+OK|-ERR increment or decrement would overflow|\
        $19|9223372036854775807|-ERR decrement would overflow|"
    );
    assert_eq!(served.resp_raw(script).await, expected);

    let script = b"APPEND t ab\r\nAPPEND t cd\r\nGET t\r\nEXPIRE t 100\r\nAPPEND t e\r\nTTL t\r\nPERSIST t\r\nPERSIST t\r\nTTL t\r\n\
        PEXPIRE t 50000\r\nTTL t\r\nGETEX t\r\nTTL t\r\nGETEX t PERSIST\r\nTTL t\r\nGETEX t EX 70\r\nTTL t\r\n\
        EXPIREAT t 1\r\nGET t\r\nEXPIRE t 5\r\nPERSIST t\r\nGETEX t EX 5\r\nAPPEND t x\r\nEXPIRE t -1\r\nEXISTS t\r\n";
    let expected = ":2|:4|$4|abcd|:1|:5|:100|:1|:0|:-1|:1|:50|$5|abcde|:50|$5|abcde|:-1|$5|abcde|:70|\
        :1|$-1|:0|:0|$-1|:1|:1|:0|";
    assert_eq!(served.resp_raw(script).await, expected);
    served.stop().await;
}

#[tokio::test]
async fn a_change_replaces_siblings_by_the_last_written() {
    let served = Served::start().await;
    for value in ["1", "20"] {
        let nothing = Context::default();
        let put = served.client.put("n", value).context(&nothing);
        put.await.unwrap();
    }
    assert_eq!(served.resp_raw(b"INCR n\r\nGET n\r\n").await, ":21|$2|21|");
    assert_eq!(served.client.get("n").await.unwrap().siblings().len(), 1);
    served.stop().await;
}

#[tokio::test]
async fn of_many_at_once_one_sets_and_every_increment_counts() {
    let served = Served::start().await;
    let setters = (0..32).map(async |number: u32| {
        let line = format!("SETNX leader {number}\r\n");
        (number, served.resp_raw(line.as_bytes()).await)
    });
    let replies = join_all(setters).await;
    let won: Vec<_> = replies.iter().filter(|(_, reply)| reply == ":1|").collect();
    assert_eq!(won.len(), 1, "{replies:?}");
    assert!(
        replies
            .iter()
            .all(|(_, reply)| reply == ":1|" || reply == ":0|")
    );
    let leader = served.client.get("leader").await.unwrap();
    assert_eq!(leader.value().unwrap(), won[0].0.to_string().as_bytes());

    // Beside a client of the library, which takes no turns with the gateway.
    let beside = async {
        for _ in 0..10 {
            let count = |entry: &quoit_client::Entry| -> u64 {
                let text = entry.value().and_then(|value| str::from_utf8(value).ok());
                text.and_then(|text| text.parse().ok()).unwrap_or(0)
            };
            let add = |entry: &quoit_client::Entry| {
                quoit_client::Edit::Set((count(entry) + 1).to_string().into())
            };
            let added = served.client.update("visits", add).await.unwrap();
            assert!(added.is_applied());
        }
    };
    let adders = (0..50).map(async |_| served.resp_raw(&b"INCR visits\r\n".repeat(4)).await);
    let (replies, ()) = tokio::join!(join_all(adders), beside);
    let mut seen: Vec<u64> = replies
        .iter()
        .flat_map(|reply| reply.split_terminator('|'))
        .map(|reply| reply.trim_start_matches(':').parse().unwrap())
        .collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 200, "no count is given twice");
    assert_eq!(served.resp_raw(b"GET visits\r\n").await, "$3|210|");
    served.stop().await;
}
