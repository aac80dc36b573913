#!/usr/bin/env bash
# Makes cmd/duet/clip.flv, the clip that `duet demo` sends: 4 s of a moving test picture with a frame counter and a tone that steps
# every second. H.264 without B-frames, a key frame a second, and AAC. Needs ffmpeg with libx264; one thread, so that it is
# repeatable with the same ffmpeg.
set -euo pipefail
cd "$(dirname "$0")/.."
ffmpeg -v error -y -threads 1 \
  -f lavfi -i "testsrc2=size=320x180:rate=25:duration=4" \
  -f lavfi -i "aevalsrc=0.2*sin(2*PI*t*(330+110*floor(t))):s=44100:d=4" \
  -c:v libx264 -threads 1 -profile:v main -preset slow -tune zerolatency -bf 0 -g 25 -keyint_min 25 -sc_threshold 0 -crf 30 -pix_fmt yuv420p \
  -c:a aac -b:a 48k -ac 1 \
  -map_metadata -1 -flags:v +bitexact -flags:a +bitexact -fflags +bitexact \
  -f flv cmd/duet/clip.flv
ls -l cmd/duet/clip.flv
