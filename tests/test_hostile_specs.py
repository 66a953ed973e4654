"""Specs made to be believed, to be slow or to crash: each ends with exit code 2 and a finding, never with a traceback."""

from __future__ import annotations

import json

import pytest
from atlasmoe.cli.main import main
from click.testing import CliRunner

INTERVAL = """
[task]
name = "hostile"
[manifold]
builtin = "interval"
domain = {domain}
[target]
expression = {expression}
"""

UNDEFINED = [
    "sqrt(x1)**2",
    "sqrt(x1)*sqrt(x1)",
    "x1/x1",
    "x1**2/x1",
    "exp(log(x1))",
    "0*log(x1)",
    "log(x1) - log(x1)",
    "sin(asin(2*x1))",
    "cos(acos(x1 + 0.5))",
    "cosh(acosh(x1 + 1))",
    "tanh(atanh(x1))",
    "(1/x1)*x1",
    "1/(1/x1)",
    "(x1**3)**(1/3)",
    "x1**(1/3)**3",
    "x1**0.5*x1**0.5",
    "x1**-1.0*x1",
    "x1**x1/x1**x1",
    "1**(1/x1)",
    "0**x1 + x1",
    "(1/x1)**0",
    "exp(-1/x1**2)",
    "atan(1/x1)",
    "tanh(1/x1)*0",
    "sign(1/x1)**2",
    "Max(log(x1), -3)",
    "Min(1/x1, 0)*0",
    "atan2(0, x1)*0",
    "atan2(x1 - 0.3, 2*(x1 - 0.3))*0",
    "cot(x1)*tan(x1)",
    "tan(2*x1)*0",
    "(x1**2 - 0.5)/(x1**2 - 0.5)",
    "(x1 - 0.123456789)/(x1 - 0.123456789)",
    "Piecewise((1/x1, x1 > -0.5), (0, True))*0",
    "Piecewise((x1, log(x1) > -1), (x1, True))",
    "Piecewise((x1, x1 > 0.5 or 1/x1 > 3), (x1, True))",
    "Piecewise((sqrt(x1)**2, x1 > -0.1), (x1, True))",
    "sqrt((x1 - 0.12345)**2 - 1e-10)**2",
    "log((x1 - 0.77)**2)*0 + x1",
    "x1**(2*sin(pi/6))",
    "E**log(x1)",
    "sqrt(sqrt(x1)**4)",
    "+".join(f"x1**{k}/x1**{k}" for k in range(1, 40)),
    "sin(" * 30 + "sqrt(x1)**2" + ")" * 30,
    "acosh(2 - x1 - 1.5)**2",
    "asin(1.0000001*x1)",
    "sqrt(0.9999999 - x1**2)",
]
REFUSED = [
    "",
    "x1 +",
    "9**9**9**9",
    "(x1 + 1)**100000",
    "((((x1**16)**16)**16)**16)",
    "1e400*x1",
    "-" * 3000 + "x1",
    "(" * 5000 + "x1" + ")" * 5000,
    "x1**" * 500 + "x1",
    "x1 + " * 3000 + "x1",
    "__import__('os').system('true')",
    "x1.__class__",
    "x\u0131 + x1",
    "x1\u00b2",
    "\uff581 + 1",
    "x1 if x1 else 0",
    "sin",
    "sin()",
    "sin(x1, x1)",
    "Piecewise((x1, x1 < 0))",
    "Piecewise((x1, x1 < x1 and x1 < 1 or atanh(pi) > x1), (1, True))",
    "atan2(0, 0)*x1",
    "log(-1)*0 + x1",
    "x1/0",
    "nan*x1",
    "x1; x1",
    "lambda: x1",
    "[x1]",
    "x1 == x1",
    "not x1",
]


def lint(text: str, tmp_path) -> list[dict]:
    """The findings of `atlasmoe lint`, which has to say exit code 2."""
    path = tmp_path / "hostile.toml"
    path.write_text(text, encoding="utf-8")
    result = CliRunner().invoke(main, ["lint", str(path), "--json"])
    assert result.exit_code == 2, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    return json.loads(result.output)


@pytest.mark.parametrize("expression", UNDEFINED, ids=lambda text: text[:40])
def test_undefined_texts(expression, tmp_path):
    found = lint(INTERVAL.format(expression=json.dumps(expression), domain="[-1, 1]"), tmp_path)
    assert "has a value only where" in json.dumps(found)


@pytest.mark.parametrize("expression", REFUSED, ids=lambda text: repr(text[:40]))
def test_refused_texts(expression, tmp_path):
    found = lint(INTERVAL.format(expression=json.dumps(expression), domain="[-1, 1]"), tmp_path)
    assert "target: expression" in json.dumps(found)


@pytest.mark.parametrize(
    "domain",
    [
        "[1, -1]",
        "[0, 0]",
        "[nan, 1]",
        "[-inf, inf]",
        '["1/0", 1]',
        '["9**9**9", 1]',
        "[[0, 1], [0, 1]]",
        "[]",
        '"x1"',
        "[true, 2]",
        "[0, 1e999]",
    ],
)
def test_domains(domain, tmp_path):
    assert lint(INTERVAL.format(expression='"x1"', domain=domain), tmp_path)
