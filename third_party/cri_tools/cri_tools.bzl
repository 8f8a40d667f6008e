"""The CRI tools that `tools/dev setup` builds from their pinned Go module."""

def _cri_tools_impl(ctx):
    tools = ctx.path(ctx.attr.workspace).dirname.get_child(".cache").get_child("bin")
    for name in ["crictl", "critest"]:
        if not tools.get_child(name).exists:
            fail(name + " is not built yet: run tools/dev setup")
        ctx.symlink(tools.get_child(name), name)
    ctx.file("BUILD.bazel", """exports_files(["crictl", "critest"])
""")

cri_tools = repository_rule(
    implementation = _cri_tools_impl,
    attrs = {"workspace": attr.label(default = "//:WORKSPACE")},
    local = True,
)
