//! corten
fn main() {
    println!("hi");
}
