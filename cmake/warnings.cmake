# SPDX-License-Identifier: Apache-2.0
# pintle_build: what every target of ours is compiled with.
add_library(pintle_build INTERFACE)
target_include_directories(pintle_build INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_definitions(pintle_build INTERFACE _GNU_SOURCE)
target_compile_options(pintle_build INTERFACE
  -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition
  -Wformat=2 -Wundef -Wvla -Wcast-qual -Wpointer-arith -Wwrite-strings -fno-common -fstack-protector-strong
  $<$<C_COMPILER_ID:GNU>:-Wlogical-op;-Wduplicated-cond>
  # the head of a list as a whole item, whose flexible end nobody reaches
  $<$<C_COMPILER_ID:Clang>:-Wno-gnu-variable-sized-type-not-at-end>
  # cmocka's assertions do not tell the compiler that they end the test
  $<$<AND:$<C_COMPILER_ID:GNU>,$<NOT:$<BOOL:$<TARGET_PROPERTY:PINTLE_UNIT_TEST>>>>:-Wnull-dereference>
  $<$<BOOL:${PINTLE_WERROR}>:-Werror>
  $<$<CONFIG:Release,RelWithDebInfo>:-D_FORTIFY_SOURCE=2>)
target_link_options(pintle_build INTERFACE -Wl,-z,relro,-z,now -Wl,--as-needed -Wl,--gc-sections -Wl,--build-id=sha1)
target_compile_options(pintle_build INTERFACE -ffunction-sections -fdata-sections)
if(PINTLE_SANITIZE)
  target_compile_options(pintle_build INTERFACE -fsanitize=${PINTLE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(pintle_build INTERFACE -fsanitize=${PINTLE_SANITIZE})
endif()
if(PINTLE_FUZZ)
  target_compile_options(pintle_build INTERFACE -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all)
  target_link_options(pintle_build INTERFACE -fsanitize=address,undefined)
endif()
