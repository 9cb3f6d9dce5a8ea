//! Has the migrations embedded anew when there are others.

fn main() {
    println!("cargo::rerun-if-changed=../migrations/movies");
}
