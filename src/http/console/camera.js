// The webcam.

/** Returns the reason why no webcam is available, or nothing if one is. */
export const whyNoCamera = () =>
  navigator.mediaDevices
    ? ""
    : "Browsers allow the webcam only on localhost or over TLS (https). Open this page that way, or choose a photo.";

const REFUSALS = {
  NotAllowedError: "The browser blocks the webcam for this page. Allow it next to the address bar, or choose a photo.",
  NotFoundError: "No webcam found. Choose a photo instead.",
  NotReadableError: "Another program is using the webcam.",
};

/** Returns a stream of the webcam; throws an Error with a message for the user. */
export async function openCamera() {
  const wishes = { width: { ideal: 1280 }, height: { ideal: 720 }, facingMode: "user" };
  try {
    return await navigator.mediaDevices.getUserMedia({ video: wishes });
  } catch (error) {
    throw new Error(REFUSALS[error.name] ?? `The webcam can't be used: ${error.message}`);
  }
}

export const closeCamera = (stream) => stream.getTracks().forEach((track) => track.stop());
