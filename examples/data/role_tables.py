"""What is seen of a token of Python code, and which roles there are: the tables behind `statements`."""

from __future__ import annotations


def _listed(names: str) -> tuple[str, ...]:
    return tuple(names.split())


# What a model sees of a token. Fixed, so that a number means the same under every version of Python. Identifiers
# and literals are hidden behind their kind; words that are names in one place and keywords in another are not.
FORMS = _listed(
    """
    <name> <number> <string> <bytes> <fstring> match case type _
    False None True and as assert async await break class continue def del elif else except finally for from
    global if import in is lambda nonlocal not or pass raise return try while with yield
    ( ) [ ] { } , : ; . ... -> @ = := + - * ** / // % << >> & | ^ ~ < > <= >= == !=
    += -= *= **= /= //= %= @= &= |= ^= <<= >>=
    """
)

# What there is to be said of a token, by families.
FAMILIES: dict[str, tuple[str, ...]] = {
    "variables": ("read", "bound", "deleted", "parameter"),
    "definitions": ("function defined", "class defined", "base class", "decorator", "annotation"),
    "calls": ("function called", "method called", "argument name", "call"),
    "attributes": ("attribute read", "attribute bound", "attribute dot"),
    "imports": ("module", "imported name", "import"),
    "literals": ("number", "text", "constant"),
    "words": ("statement", "conditional", "comprehension", "lambda", "yield or await"),
    "operators": ("arithmetic", "sign", "comparison", "logic", "assignment", "unpacking"),
    "brackets": ("parameters", "tuple", "grouping", "list", "dict or set", "subscript", "slice"),
}
ROLES: tuple[str, ...] = tuple(role for roles in FAMILIES.values() for role in roles)

# The role of a node's own tokens, those that no node below it covers, by the class of the node: of identifiers, ...
IDENTIFIERS = {
    "FunctionDef": "function defined",
    "AsyncFunctionDef": "function defined",
    "ClassDef": "class defined",
    "arg": "parameter",
    "keyword": "argument name",
    "ImportFrom": "module",
    "Global": "bound",
    "Nonlocal": "bound",
    "ExceptHandler": "bound",
    "MatchAs": "bound",
    "MatchStar": "bound",
    "MatchMapping": "bound",
    "MatchClass": "argument name",
    "TypeVar": "parameter",
    "ParamSpec": "parameter",
    "TypeVarTuple": "parameter",
}
# ... of certain signs and words, ...
SIGNS = {
    ("Attribute", "."): "attribute dot",
    ("keyword", "="): "call",
    ("keyword", "**"): "unpacking",
    ("arg", ":"): "annotation",
    ("AnnAssign", ":"): "annotation",
    ("TypeAlias", "="): "assignment",
    ("TypeAlias", "["): "parameters",
    ("TypeAlias", "]"): "parameters",
    ("TypeAlias", ","): "parameters",
    ("TypeVar", ":"): "annotation",
    ("Lambda", "lambda"): "lambda",
    ("Lambda", ":"): "lambda",
    ("UnaryOp", "not"): "logic",
    ("Dict", "**"): "unpacking",
    ("DictComp", ":"): "dict or set",
    ("MatchMapping", "**"): "unpacking",
    ("MatchStar", "*"): "unpacking",
    ("MatchSequence", "["): "list",
    ("MatchSequence", "]"): "list",
    ("ClassDef", ","): "base class",
    **{(kind, "->"): "annotation" for kind in ("FunctionDef", "AsyncFunctionDef")},
    **{(kind, "@"): "decorator" for kind in ("FunctionDef", "AsyncFunctionDef", "ClassDef")},
    **{
        (kind, s): "parameters"
        for kind in ("FunctionDef", "AsyncFunctionDef")
        for s in [",", "=", "*", "**", "/", "[", "]"]
    },
    **{("ClassDef", bracket): "parameters" for bracket in "[]"},
}
# ... and of all others; what is not named here is a part of a statement.
REST = {
    "Import": "import",
    "ImportFrom": "import",
    "alias": "import",
    "Assign": "assignment",
    "AugAssign": "assignment",
    "AnnAssign": "assignment",
    "NamedExpr": "assignment",
    "Lambda": "parameters",
    "TypeVar": "parameters",
    "ParamSpec": "parameters",
    "TypeVarTuple": "parameters",
    "Call": "call",
    "MatchClass": "call",
    "Subscript": "subscript",
    "Slice": "slice",
    "Tuple": "tuple",
    "List": "list",
    "Dict": "dict or set",
    "Set": "dict or set",
    "MatchMapping": "dict or set",
    "MatchSequence": "tuple",
    "ListComp": "comprehension",
    "SetComp": "comprehension",
    "DictComp": "comprehension",
    "GeneratorExp": "comprehension",
    "Starred": "unpacking",
    "UnaryOp": "sign",
    "BinOp": "arithmetic",
    "BoolOp": "logic",
    "MatchOr": "logic",
    "Compare": "comparison",
    "IfExp": "conditional",
    "Yield": "yield or await",
    "YieldFrom": "yield or await",
    "Await": "yield or await",
    "Constant": "constant",
    "MatchSingleton": "constant",
}
LITERALS = {"<number>": "number", "<string>": "text", "<bytes>": "text", "<fstring>": "text"}

# What a node is used for, by the class of its parent and the field of it that the node fills.
USES = {
    ("Call", "func"): "called",
    ("MatchClass", "cls"): "called",
    ("ClassDef", "bases"): "base class",
    ("ClassDef", "decorator_list"): "decorator",
    ("FunctionDef", "decorator_list"): "decorator",
    ("AsyncFunctionDef", "decorator_list"): "decorator",
    ("Import", "names"): "module",
    ("ImportFrom", "names"): "imported name",
}
