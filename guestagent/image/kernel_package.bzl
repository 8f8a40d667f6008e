"""The guest's kernel package as a repository: `@guest_kernel//:package`."""

def _kernel_package_impl(ctx):
    # A package fetched before (tools/dev setup, PODVISOR_KERNEL_DIR) makes the
    # build independent of the network; otherwise apt is asked here.
    directory = ctx.os.environ.get("PODVISOR_KERNEL_DIR", "")
    if not directory:
        directory = str(ctx.path("download"))
    result = ctx.execute([ctx.path(ctx.attr.fetch), directory], timeout = 600)
    if result.return_code != 0:
        fail("fetching the guest's kernel: " + result.stderr)
    ctx.symlink(result.stdout.strip(), "linux-image.deb")
    ctx.file("BUILD.bazel", """filegroup(
    name = "package",
    srcs = ["linux-image.deb"],
    visibility = ["//visibility:public"],
)
""")

kernel_package = repository_rule(
    implementation = _kernel_package_impl,
    attrs = {"fetch": attr.label(mandatory = True, allow_single_file = True)},
    environ = ["PODVISOR_KERNEL_DIR"],
)
