# SPDX-License-Identifier: Apache-2.0
# One file a line, sorted.
set(PT_COMPILE_SOURCES
  compile/eval.c
  compile/fuse.c
  compile/lower.c
  compile/lower_conv.c
  compile/lower_elem.c
  compile/lower_gemm.c
  compile/match.c
  compile/packs.c
  compile/plan.c
  compile/probe.c
  compile/program.c
  compile/rewrite.c
  compile/rewrite_batchnorm.c
  compile/rewrite_cast.c
  compile/rewrite_cse.c
  compile/rewrite_fold.c
  compile/rewrite_gelu.c
  compile/rewrite_identity.c
  compile/rewrite_layernorm.c
  compile/rewrite_pad.c
  compile/rewrite_prepare.c
  compile/rewrite_reshape.c
  compile/rewrite_rmsnorm.c
  compile/rewrite_transpose.c
)
