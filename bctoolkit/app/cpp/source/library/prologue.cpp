// The library behind bctoolkit.h, in the order in which its parts need each other.

#include "bctoolkit.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iterator>
#include <string>
#include <utility>
