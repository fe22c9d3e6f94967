//! The shortest program of every kind.
use d2l::prelude::*;

#[test]
fn smoke() {
    let x = Tensor::arange(0.0..12.0).reshape([3, -1]);
    println!("{x}");
    x.set((1, 2), 17.0);
    x.set((0..2, 0..2), 12.0);
    println!("{x}");
    println!("{}", x.i(&x.gt(8.0)));
    println!("{}", x.exp());
    println!("{}", Tensor::randn([3, 4]));
    println!("{}", Tensor::zeros([2, 3, 4]));
    println!("{}", Tensor::arange(0.0..4000.0).reshape([40, 100]));
    let x = Tensor::arange(0.0..4.0).requires_grad();
    let y = 2.0 * x.dot(&x);
    println!("{y}");
    y.backward();
    assert_eq!(x.grad().unwrap().to_vec(), [0.0, 4.0, 8.0, 12.0]);
}
