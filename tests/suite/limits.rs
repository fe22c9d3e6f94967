//! What cells may take of the machine, and what they need of it.

use d2l_tests::TempBook;

#[test]
fn a_cell_that_takes_too_much_is_named_and_the_next_runs() {
    let book = TempBook::new(
        "# First\n\n```rust\nlet kept = 7;\n```\n\n```rust, label=grows, memory=200MiB\n\
         let mut all = Vec::new();\nloop { all.push(vec![1_u8; 1 << 20]); }\n```\n\n\
         ```rust, label=more\nlet room = vec![1_u8; 300 << 20];\nassert_eq!((room[5], kept), (1, 7));\n```\n\n\
         ```rust, label=hangs, timeout=1\nloop {}\n```\n",
    );
    book.d2l(&["test", "--keep-going"]).expect(
        1,
        &[
            "book/one/first.md:8:1",
            "this cell took more than 200.0 MiB of memory",
            "`memory=SIZE`",
            "first.md:18:1",
            "this cell ran longer than 1 s",
            "2 passed, 2 failed, 0 skipped",
        ],
    );
    // The limits of all cells stand in the book's settings.
    let settings = book.read("book/book.toml");
    book.write(
        "book/book.toml",
        &format!("{settings}\n[run]\ntimeout = 2\nmemory = \"150 MiB\"\n"),
    );
    book.write(
        "book/one/first.md",
        "# First\n\n```rust\nlet all = vec![1_u8; 400 << 20];\nloop {}\n```\n\n```rust\nloop {}\n```\n",
    );
    book.d2l(&["test", "--keep-going"])
        .expect(1, &["took more than 150.0 MiB", "ran longer than 2 s"]);
}

#[test]
fn cells_for_a_gpu_run_where_there_is_one_and_are_read_elsewhere() {
    let section = "# First\n\n```rust\nlet two = 2;\n```\n\n```rust, gpu, label=there\n\
                   println!(\"on {}\", std::env::var(\"CUDA_VISIBLE_DEVICES\").unwrap());\n```\n\n\
                   ```rust\ntwo + 40\n```\n";
    let book = TempBook::new(section);
    let page = |book: &TempBook| {
        book.d2l(&["build", "--no-pdf", "--gpus", ""]).expect(0, &["built in"]);
        book.read("_build/html/one/first.html")
    };
    let nowhere = page(&book);
    assert!(nowhere.contains("not run: this cell needs a GPU"), "{nowhere}");
    assert!(nowhere.contains(">42<"), "the other cells are run: {nowhere}");
    let tested = ["test", "--gpus", ""];
    let skipped = "first::there at book/one/first.md:7 ... SKIPPED: it needs a GPU";
    book.d2l(&tested).expect(0, &[skipped, "2 passed, 0 failed, 1 skipped"]);

    // Another machine fills the cache.
    book.d2l(&["test", "--gpus", "GPU-5"]).expect(0, &["3 passed"]);
    assert!(page(&book).contains("on GPU-5"));

    // Without its cache there is what it recorded, and what is not run here stays recorded.
    book.d2l(&["test", "--gpus", "GPU-5", "--bless"]).expect(0, &["recorded one/first"]);
    std::fs::remove_dir_all(book.path("_build/cache")).unwrap();
    assert!(page(&book).contains("on GPU-5"));
    let recorded = book.read("book/recorded/one/first.json");
    book.d2l(&["test", "--gpus", "", "--bless"]).expect(0, &["1 skipped"]);
    assert_eq!(book.read("book/recorded/one/first.json"), recorded);
    book.d2l(&tested).expect(0, &[skipped]);
}
