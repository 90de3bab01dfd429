"""Runs all tests of jupyter_kernel_test against the kernel that BANTER_KERNEL names (default: banter).

The package waits for ever for a reply that does not come: run this under a time limit.
"""

import os
import unittest

import jupyter_kernel_test

KERNEL = os.environ.get("BANTER_KERNEL", "banter")


class Kernel(jupyter_kernel_test.KernelTests):
    kernel_name = KERNEL
    language_name = "go"
    file_extension = ".go"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.kc.execute_interactive('import ("fmt"; "os"; "strings"; "time")', timeout=60)

    code_hello_world = 'fmt.Println("hello, world")'
    code_stderr = 'fmt.Fprintln(os.Stderr, "a warning")'
    completion_samples = [
        {"text": "fmt.Printl", "matches": {"Println"}},
        {"text": "strings.ToLowerS", "matches": {"ToLowerSpecial"}},
        {"text": "tim"},
    ]
    complete_code_samples = ["1", "fmt.Println(1)", "for i := 0; i < 3; i++ {\n}", "func f() int {\n\treturn 1\n}", "// a remark", ""]
    incomplete_code_samples = ["for i := 0; i < 3; i++ {", "fmt.Println(", "func f() {\n\tx := 1", "x := `a", "/* a remark", "1 +"]
    invalid_code_samples = ["x := := 2", "func ) {", "1 2"]
    code_page_something = 'Page("a long text")'
    code_generate_error = 'panic("boom")'
    code_execute_result = [
        {"code": "1+2", "result": "3"},
        {"code": '"a" + "b"', "result": "ab"},
        {"code": "6 * 7", "result": "42"},
        {"code": "[]struct{ N int }{{1}}", "mime": "text/html"},
    ]
    code_display_data = [
        {"code": 'Display(HTML("<b>bold</b>"))', "mime": "text/html"},
        {"code": 'Display(SVG("<svg></svg>"))', "mime": "image/svg+xml"},
        {"code": 'Display(PNG([]byte("\\x89PNG")))', "mime": "image/png"},
    ]
    code_history_pattern = "1?2*"
    supported_history_operations = ("tail", "range", "search")
    code_inspect_sample = "fmt.Println"
    code_clear_output = "ClearOutput(false)"


class Welcome(jupyter_kernel_test.IopubWelcomeTests):
    kernel_name = KERNEL
    support_iopub_welcome = True


if __name__ == "__main__":
    result = unittest.main(verbosity=2, exit=False).result
    raise SystemExit(not result.wasSuccessful() or bool(result.skipped))
