# The library seqloom_core: all of csrc but bind/. Files named below `each_target` are compiled once for each
# instruction set, in a namespace of its own; which one runs is chosen at run time (isa.hpp).
set(core ${CMAKE_CURRENT_LIST_DIR})
file(GLOB cells CONFIGURE_DEPENDS ${core}/cells/*.cpp)
set(each_target ${cells} ${core}/activations_target.cpp ${core}/tiles_target.cpp)

add_library(seqloom_flags INTERFACE)
target_compile_features(seqloom_flags INTERFACE cxx_std_20)
target_include_directories(seqloom_flags INTERFACE ${core})
target_compile_options(seqloom_flags INTERFACE
  $<$<CXX_COMPILER_ID:GNU,Clang,AppleClang>:-Wall -Wextra -fvisibility=hidden>
  # A product and a sum are rounded once only where a kernel says so: results do not depend on the compiler's choice.
  $<$<CXX_COMPILER_ID:GNU,Clang,AppleClang>:-ffp-contract=off -fno-math-errno>
  # A template's static would else be one object for every copy of this library in the process.
  $<$<CXX_COMPILER_ID:GNU>:-fno-gnu-unique>
  # Vectors wider than the base architecture's pass between functions of one target only.
  $<$<CXX_COMPILER_ID:GNU>:-Wno-psabi -Wno-ignored-attributes>
)

add_library(seqloom_core OBJECT
  ${core}/activations.cpp ${core}/caches.cpp ${core}/directions.cpp ${core}/isa.cpp ${core}/memory.cpp ${core}/packed.cpp
  ${core}/registry.cpp ${core}/stack.cpp ${core}/threads.cpp
)
find_package(Threads REQUIRED)
target_link_libraries(seqloom_core PUBLIC seqloom_flags Threads::Threads ${CMAKE_DL_LIBS})
set_target_properties(seqloom_core PROPERTIES POSITION_INDEPENDENT_CODE ON)

function(seqloom_target name)
  add_library(seqloom_${name} OBJECT ${each_target})
  target_compile_definitions(seqloom_${name} PRIVATE SEQLOOM_TARGET=${name})
  target_compile_options(seqloom_${name} PRIVATE ${ARGN})
  target_link_libraries(seqloom_${name} PRIVATE seqloom_flags)
  set_target_properties(seqloom_${name} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  target_sources(seqloom_core INTERFACE $<TARGET_OBJECTS:seqloom_${name}>)
endfunction()

seqloom_target(portable)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$" AND CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
  set(avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma)
  seqloom_target(avx2 -mavx2 -mfma)
  seqloom_target(avx512 ${avx512})
  seqloom_target(avx512_bf16 ${avx512} -mavx512bf16)
  target_compile_definitions(seqloom_core PRIVATE SEQLOOM_HAS_AVX2 SEQLOOM_HAS_AVX512 SEQLOOM_HAS_AVX512_BF16)
  include(CheckCXXCompilerFlag)
  check_cxx_compiler_flag(-mamx-bf16 compiles_amx)  # GCC from 11, Clang from 12
  if(compiles_amx)
    seqloom_target(amx ${avx512} -mavx512bf16 -mamx-tile -mamx-bf16)
    target_compile_definitions(seqloom_core PRIVATE SEQLOOM_HAS_AMX)
  endif()
endif()
