export { TransformControls } from "three/examples/jsm/controls/TransformControls.js";
