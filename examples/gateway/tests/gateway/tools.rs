//! Programs that people use, unmodified: curl, redis-cli and redis-py. One that is not on the machine is left out, and says
//! so (`cargo test -p quoit-gateway --test gateway tools -- --nocapture`).

use std::process::Stdio;

use tokio::process::Command;

use super::support::{SOON, Served};

/// The standard output of a program; `None` if there is none of that name.
async fn run(program: &str, args: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(SOON, command.output()).await.unwrap();
    match output {
        Ok(output) => {
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{program} {args:?}: {error}");
            Some(String::from_utf8_lossy(&output.stdout).into_owned())
        }
        Err(error) => {
            println!("left out: {program} is not here ({error})");
            None
        }
    }
}

#[tokio::test]
async fn curl_does_what_the_pages_say() {
    if run("curl", &["--version"]).await.is_none() {
        return;
    }
    let served = Served::start().await;
    let at = format!("http://{}", served.http());
    for page in [
        include_str!("../../../../README.md"),
        include_str!("../../../../docs/gateway.md"),
    ] {
        // Commands, each with what it prints behind `# `.
        let block = page.split("```sh\n# curl\n").nth(1).unwrap();
        let mut lines = block.split("```").next().unwrap().lines().peekable();
        while let Some(line) = lines.next() {
            let mut expected = String::new();
            while let Some(text) = lines.next_if(|next| next.starts_with("# ")) {
                expected = format!("{expected}{}\n", &text[2..]);
            }
            let line = line.replace("http://127.0.0.1:8080", &at);
            let printed = run("sh", &["-c", &line]).await.unwrap();
            assert_eq!(printed.trim_end(), expected.trim_end(), "{line}");
        }
    }
    served.stop().await;
}

#[tokio::test]
async fn redis_cli_reads_what_it_wrote() {
    let served = Served::start().await;
    let port = served.resp().port().to_string();
    for (args, expected) in [
        (&["set", "color", "blue", "EX", "60"][..], "OK\n"),
        (&["get", "color"], "blue\n"),
        (&["-3", "mget", "color", "none"], "blue\n\n"),
        (&["ttl", "color"], "60\n"),
        (&["del", "color"], "1\n"),
    ] {
        let all = [&["-p", &port], args].concat();
        match run("redis-cli", &all).await {
            Some(printed) => assert_eq!(printed, expected, "{args:?}"),
            None => break,
        }
    }
    served.stop().await;
}

#[tokio::test]
async fn redis_py_reads_what_it_wrote() {
    let served = Served::start().await;
    let script = format!(
        "try:\n import redis\nexcept ImportError:\n print('absent'); raise SystemExit\n\
         for protocol in (2, 3):\n \
          r = redis.Redis(port={}, protocol=protocol)\n \
          assert r.ping() and r.set('k', b'v\\xff', ex=60) and r.get('k') == b'v\\xff'\n \
          assert r.mset({{'a': 1, 'b': 2}}) and r.mget('a', 'none', 'b') == [b'1', None, b'2']\n \
          p = r.pipeline(transaction=False)\n \
          [p.set(f'p{{n % 10}}', n) for n in range(10000)]\n \
          assert all(p.execute()) and r.get('p9') == b'9999'\n \
          assert r.delete('k', 'none') == 1 and r.ttl('k') == -2\n \
          r.delete('n', 'l'); assert r.incr('n', 5) == 5 and r.decr('n') == 4 and r.set('l', 'me', nx=True, ex=9) and r.set('l', 'you', nx=True) is None\n \
          assert r.getdel('l') == b'me' and r.append('l', 'ab') == 2 and r.expire('l', 50) and r.persist('l') and r.ttl('l') == -1\n \
          assert list(r.scan_iter('p*', count=3)) == [b'p%d' % n for n in range(10)] == r.keys('p?')\n\
         print('done')",
        served.resp().port()
    );
    match run("python3", &["-c", &script]).await.as_deref() {
        Some("done\n") => {}
        Some("absent\n") => println!("left out: redis-py is not here"),
        other => assert_eq!(other, None),
    }
    served.stop().await;
}
