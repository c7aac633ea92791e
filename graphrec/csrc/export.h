// What the library shows: functions marked GRAPHREC_EXPORT, with C names. All else is hidden (-fvisibility=hidden).
#pragma once

#define GRAPHREC_EXPORT extern "C" __attribute__((visibility("default")))
