// A photo as it is sent: upright, no larger than necessary, with the same pixels that are shown.

const LONGEST_SIDE = 1600;
const JPEG_QUALITY = 0.92;

/** Draws an image or the current frame of a video on a canvas, and encodes that canvas. */
async function shot(source, width, height) {
  const shrunk = Math.min(1, LONGEST_SIDE / Math.max(width, height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(width * shrunk));
  canvas.height = Math.max(1, Math.round(height * shrunk));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  // Transparent pixels would become black in a JPEG.
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(source, 0, 0, canvas.width, canvas.height);
  const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", JPEG_QUALITY));
  return { canvas, blob };
}

/** Decodes a file; throws if the browser cannot read it. */
export async function shotOfFile(file) {
  // The browser rotates the photo upright by its EXIF orientation.
  const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  try {
    return await shot(bitmap, bitmap.width, bitmap.height);
  } finally {
    bitmap.close();
  }
}

export const shotOfVideo = (video) => shot(video, video.videoWidth, video.videoHeight);
