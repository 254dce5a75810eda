# Each library as static and shared, its CMake targets (the same names in a build tree under add_subdirectory as from an installed package), and
# pkg-config files that may be moved.
include(CMakePackageConfigHelpers)

# edgeface_library(NAME OBJECTS... LANGUAGE C|CXX): libNAME.a and libNAME.so with the targets edgeface::NAME, edgeface::NAME_static and
# edgeface::NAME_shared; edgeface::static and edgeface::shared for libedgeface itself. edgeface::NAME is the shared one where BUILD_SHARED_LIBS is on.
function(edgeface_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "LANGUAGE" "")
  foreach(kind static shared)
    string(TOUPPER ${kind} upper)
    set(objects "")
    foreach(target ${arg_UNPARSED_ARGUMENTS})
      list(APPEND objects $<TARGET_OBJECTS:${target}>)
    endforeach()
    add_library(${name}_${kind} ${upper} ${objects})
    string(REGEX REPLACE "^edgeface_?" "" short ${name}_${kind}) # static, engine_static
    add_library(edgeface::${short} ALIAS ${name}_${kind})
    set_target_properties(
      ${name}_${kind}
      PROPERTIES OUTPUT_NAME ${name}
                 EXPORT_NAME ${short}
                 LINKER_LANGUAGE ${arg_LANGUAGE}
                 VERSION ${PROJECT_VERSION}
                 SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
    target_include_directories(${name}_${kind} INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/cpp/include>
                                                         $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
    target_link_options(${name}_${kind} PRIVATE ${hardened_link})
    if(EDGEFACE_SANITIZE)
      target_link_options(${name}_${kind} PUBLIC ${sanitizers})
    endif()
    install(TARGETS ${name}_${kind} EXPORT edgeface-targets)
  endforeach()
  if(BUILD_SHARED_LIBS)
    set(kind shared)
  else()
    set(kind static)
  endif()
  add_library(${name}_default INTERFACE)
  target_link_libraries(${name}_default INTERFACE ${name}_${kind})
  string(REGEX REPLACE "^edgeface_" "" short ${name}) # edgeface, engine
  add_library(edgeface::${short} ALIAS ${name}_default)
endfunction()

# A pkg-config file whose prefix is where it lies.
function(edgeface_pkg_config template)
  cmake_path(SET pc_folder NORMALIZE "/${CMAKE_INSTALL_LIBDIR}/pkgconfig")
  file(RELATIVE_PATH EDGEFACE_PC_PREFIX "${pc_folder}" "/")
  string(REGEX REPLACE "/$" "" EDGEFACE_PC_PREFIX "${EDGEFACE_PC_PREFIX}")
  configure_file(${PROJECT_SOURCE_DIR}/cpp/cmake/${template}.pc.in ${CMAKE_CURRENT_BINARY_DIR}/${template}.pc @ONLY)
  install(FILES ${CMAKE_CURRENT_BINARY_DIR}/${template}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endfunction()

function(edgeface_install)
  set(package ${CMAKE_INSTALL_LIBDIR}/cmake/edgeface)
  install(DIRECTORY include/edgeface DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  install(EXPORT edgeface-targets NAMESPACE edgeface:: DESTINATION ${package})
  configure_package_config_file(cmake/edgeface-config.cmake.in edgeface-config.cmake INSTALL_DESTINATION ${package})
  write_basic_package_version_file(edgeface-config-version.cmake COMPATIBILITY SameMinorVersion)
  install(FILES ${CMAKE_CURRENT_BINARY_DIR}/edgeface-config.cmake ${CMAKE_CURRENT_BINARY_DIR}/edgeface-config-version.cmake DESTINATION ${package})
  edgeface_pkg_config(edgeface)
endfunction()
