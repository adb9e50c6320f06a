//! The same for both programs: a line of JSON for each work, and digests of what is large.
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::error::Error;
use std::future::Future;

pub type Outcome = Result<Value, Box<dyn Error + Send + Sync>>;

/// The client has no such thing.
#[derive(Debug)]
pub struct Unsupported(pub &'static str);

impl std::fmt::Display for Unsupported {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str(self.0)
    }
}
impl Error for Unsupported {}

pub fn unsupported(why: &'static str) -> Outcome {
    Err(Box::new(Unsupported(why)))
}

pub async fn answer(work: &str, perform: impl Future<Output = Outcome>) {
    let said = match perform.await {
        Ok(value) => json!({ "value": value }),
        Err(error) => match error.downcast_ref::<Unsupported>() {
            Some(none) => json!({ "unsupported": none.0 }),
            None => json!({ "failed": format!("{error:?}") }),
        },
    };
    println!("{{\"work\":\"{work}\",{}", &said.to_string()[1..]);
}

pub fn env(name: &str) -> String {
    std::env::var(format!("CLIENT_{name}")).unwrap_or_else(|_| panic!("CLIENT_{name} is not set"))
}

pub fn digest<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    for piece in pieces {
        hash.update(piece);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

pub const BROKEN: [&str; 7] = [
    "select * from work.nowhere",
    "insert into work.account values (1, 'ann', 1)",
    "insert into work.account values (30, 'x', -1)",
    "insert into work.entry (account, amount) values (999, 1)",
    "insert into work.account (id) values (31)",
    "selec 1",
    "select 'x'::int",
];

pub const COPY_OUT: &str = "(select n, t from work.numbers order by n limit 20000)";
