import "./style.css";

const parts = import.meta.glob("./parts/*.js");
document.title = Object.keys(parts).length;
Object.values(parts)[0]();
