# SPDX-License-Identifier: Apache-2.0
# pt_add_library(NAME SOURCES ... [LIBS ...]): a static library of one folder. LIBS are PUBLIC: link closure follows the folders' directions.
function(pt_add_library name)
  cmake_parse_arguments(A "" "" "SOURCES;LIBS" ${ARGN})
  add_library(${name} STATIC ${A_SOURCES})
  target_link_libraries(${name} PUBLIC pintle_build ${A_LIBS})
endfunction()

# pt_add_program(NAME SOURCES ... [LIBS ...]): an installed program.
function(pt_add_program name)
  cmake_parse_arguments(A "" "" "SOURCES;LIBS" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  target_link_libraries(${name} PRIVATE pintle_build ${A_LIBS})
  install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endfunction()

# pt_add_unit_test(NAME SOURCES ... [LIBS ...]): a cmocka program, run by ctest with label "unit" and a timeout.
function(pt_add_unit_test name)
  cmake_parse_arguments(A "" "TIMEOUT" "SOURCES;LIBS" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  target_link_libraries(${name} PRIVATE pintle_build ${A_LIBS} PkgConfig::cmocka)
  target_compile_definitions(${name} PRIVATE PT_SOURCE_DIR="${PROJECT_SOURCE_DIR}" PT_BINARY_DIR="${PROJECT_BINARY_DIR}")
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests PINTLE_UNIT_TEST ON)
  add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  if(NOT A_TIMEOUT)
    set(A_TIMEOUT 60)
  endif()
  set_tests_properties(${name} PROPERTIES LABELS unit TIMEOUT ${A_TIMEOUT})
endfunction()

# pt_add_fuzzer(NAME SOURCE [LIBS ...]): SOURCE defines LLVMFuzzerTestOneInput. In the fuzz preset a libFuzzer program; everywhere else the
# same function replays the files of tests/fuzz/corpus/NAME as a test with label "fuzz".
function(pt_add_fuzzer name)
  cmake_parse_arguments(A "" "" "SOURCES;LIBS" ${ARGN})
  if(PINTLE_FUZZ)
    add_executable(${name} ${A_SOURCES})
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  else()
    add_executable(${name} ${A_SOURCES} ${PROJECT_SOURCE_DIR}/tests/fuzz/replay.c)
    add_test(NAME ${name} COMMAND ${name} ${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${name})
    set_tests_properties(${name} PROPERTIES LABELS fuzz TIMEOUT 60)
  endif()
  target_link_libraries(${name} PRIVATE pintle_build ${A_LIBS})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
endfunction()

# pt_embed(TARGET FILE): the file's bytes as `static const unsigned char NAME[]` in DIR/NAME.h of the build tree, included as "DIR/NAME.h";
# NAME is the file's with _ for what is no letter or digit.
function(pt_embed target file)
  get_filename_component(path ${file} ABSOLUTE)
  get_filename_component(name ${file} NAME)
  string(REGEX REPLACE "[^A-Za-z0-9]" "_" name ${name})
  file(RELATIVE_PATH dir ${PROJECT_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR})
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${path})
  file(READ ${path} bytes HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
  file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/embed/${dir}/${name}.h CONTENT "static const unsigned char ${name}[] = {${bytes}};\n" @ONLY)
  target_include_directories(${target} PRIVATE ${PROJECT_BINARY_DIR}/embed)
endfunction()
