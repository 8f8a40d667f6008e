"""A repository made of one Go module, for the files it holds besides Go code."""

def _go_module_impl(ctx):
    ctx.file("go.mod", ctx.read(ctx.path(ctx.attr.go_mod)))
    ctx.file("go.sum", ctx.read(ctx.path(ctx.attr.go_sum)))
    result = ctx.execute(["go", "mod", "download", "-json", ctx.attr.module], timeout = 300)
    if result.return_code != 0:
        fail("go mod download %s: %s%s" % (ctx.attr.module, result.stdout, result.stderr))
    module = json.decode(result.stdout)
    ctx.symlink(module["Dir"], "module")
    ctx.symlink(ctx.attr.build_file, "BUILD.bazel")

go_module = repository_rule(
    implementation = _go_module_impl,
    attrs = {
        "build_file": attr.label(mandatory = True, allow_single_file = True),
        "go_mod": attr.label(mandatory = True, allow_single_file = True),
        "go_sum": attr.label(mandatory = True, allow_single_file = True),
        "module": attr.string(mandatory = True),
    },
    environ = ["GOPROXY", "GOMODCACHE", "GOFLAGS", "GOPATH", "HOME"],
)
