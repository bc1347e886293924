// seqloom._native.Ready: a layer that was looked at once, to be called again and again.
#pragma once

#include <nanobind/nanobind.h>

namespace seqloom::bind {

void define_ready(nanobind::module_& m);

}  // namespace seqloom::bind
