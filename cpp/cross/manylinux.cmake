# A glibc 2.17 floor for 64-bit and 32-bit ARM: Debian 12's cross compiler over a Debian 11 sysroot (EDGEFACE_SYSROOT), whose symbols
# are old enough for what edgeface uses. The C++ runtime is linked in. build_wheel.sh makes the sysroot and says which EDGEFACE_TRIPLET.
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES EDGEFACE_SYSROOT EDGEFACE_PYTHON_HEADERS EDGEFACE_TRIPLET)
set(triplet ${EDGEFACE_TRIPLET})
include(${CMAKE_CURRENT_LIST_DIR}/${triplet}.cmake)
set(usr ${EDGEFACE_SYSROOT}/usr)
set(CMAKE_C_FLAGS_INIT "-isystem ${usr}/include/${triplet} -isystem ${usr}/include")
set(CMAKE_CXX_FLAGS_INIT
    "-nostdinc++ -isystem ${usr}/include/c++/10 -isystem ${usr}/include/${triplet}/c++/10 -isystem ${usr}/include/${triplet} -isystem ${usr}/include")
if(EDGEFACE_PYTHON_HEADERS) # Debian's pyconfig.h includes one by its architecture; last, so that this glibc's headers are not found there
  string(APPEND CMAKE_CXX_FLAGS_INIT " -idirafter ${EDGEFACE_PYTHON_HEADERS}")
endif()
set(link
    "-L${usr}/lib/gcc/${triplet}/10 -L${usr}/lib/${triplet} -L${EDGEFACE_SYSROOT}/lib/${triplet} -B${usr}/lib/${triplet}/ -B${usr}/lib/gcc/${triplet}/10/ -static-libstdc++ -static-libgcc -Wl,--sysroot=${EDGEFACE_SYSROOT}"
)
set(CMAKE_EXE_LINKER_FLAGS_INIT "${link}")
set(CMAKE_SHARED_LINKER_FLAGS_INIT "${link}")
set(CMAKE_MODULE_LINKER_FLAGS_INIT "${link}")
