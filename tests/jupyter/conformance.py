"""Jupyter's own suite for kernels, every test of it: conformance.py (the kernel must be installed)."""

import unittest

import jupyter_kernel_test

SHOW = 'display("shown in the middle");'


class Kernel(jupyter_kernel_test.KernelTests):
    kernel_name = "d2l"
    language_name = "rust"
    file_extension = ".rs"
    code_hello_world = 'println!("hello, world");'
    code_stderr = 'eprintln!("aside");'
    code_generate_error = 'panic!("no");'
    code_execute_result = [
        {"code": "6 * 7", "result": "42"},
        {"code": '"a".repeat(3)', "result": '"aaa"'},
        {"code": "6 * 7", "result": "42"},
        {"code": "6 * 8", "result": "48"},
        {"code": "Figure::new().line([0.0, 1.0], [1.0, 0.0])", "mime": "image/svg+xml"},
    ]
    code_display_data = [{"code": SHOW, "mime": "text/plain"}]
    code_clear_output = "d2l::display::clear(d2l::display::Clear::Now);"
    code_page_something = "?Tensor"
    code_inspect_sample = "Tensor"
    completion_samples = [
        {"text": "eprint", "matches": {"eprintln!"}},
        {"text": "Tensor::arang", "matches": {"arange", "arange_step"}},
    ]
    complete_code_samples = ["1 + 1", "fn f() {}", "let x = 1;\nx", "//#@save\nlet y = 2;"]
    incomplete_code_samples = ["fn f() {", "let x =", "if true {\n    1"]
    invalid_code_samples = ["let let", "fn 1()"]
    code_history_pattern = "6 * 7"
    supported_history_operations = ("tail", "range", "search")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # Its limits are for a warm engine.
        cls.kc.execute_interactive("1", timeout=600, output_hook=lambda message: None)

    def test_history(self):
        # The suite's search for three results wants three that fit.
        for _ in range(3):
            self.execute_helper("6 * 7")
        super().test_history()


if __name__ == "__main__":
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(Kernel)
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    # A test that is skipped is a feature that is missing.
    raise SystemExit(not (result.wasSuccessful() and not result.skipped))
